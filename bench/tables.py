"""Plain text tables for terminals and logs, by rich: columns as wide as their widest cell, nothing cut or wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def text(header: Sequence[str], rows: Iterable[Sequence[str]], *, rule: bool = False) -> str:
    """A table as lines of text, two spaces between columns; `rule`: a line of dashes under the header."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [list(header), *map(list, rows)]
    if rule:
        lines.insert(1, ["-" * max(map(cell_len, column)) for column in zip(*lines, strict=True)])
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in header:
        table.add_column(no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    console = Console(width=100_000, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
