"""Standard output and error whose reader may leave, as `| head -1` does: what is still said then goes nowhere, and the
command ends as it would have, with its own exit code."""

from __future__ import annotations

import io
import sys
from typing import Any


class _Pipe(io.FileIO):
    """A file that may be a pipe without a reader."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def let_readers_leave() -> None:
    """From now on; also for what is still buffered when the interpreter ends, which is too late for an `except`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):  # else a caller's own
            pipe = _Pipe(stream.fileno(), "w", closefd=False)
            buffer: Any = pipe if stream.write_through else io.BufferedWriter(pipe)  # as `python -u` asks
            lines, through = stream.line_buffering, stream.write_through
            text = io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=lines, write_through=through)
            setattr(sys, name, text)
