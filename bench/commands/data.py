"""`bench data list` and `bench data get`: data sets and weights, and the one way to the network."""

from __future__ import annotations

import sys
from typing import Any

import click

from retable.bench import tables
from retable.bench.commands.common import JSON, dump, plain


@click.group("data")
def command() -> None:
    """Data sets and weights: what there is, and getting what is not embedded."""


@command.command("list")
@JSON
def every(as_json: bool) -> None:
    """The data sets and weights that suites can name, and whether they are here."""
    from retable.bench import data

    rows: list[dict[str, Any]] = [
        {"name": s.name, "here": s.missing() is None, "embedded": s.embedded, "licence": s.licence, "about": s.about}
        for s in data.sources(_packages()).values()
    ]
    lines = [[r["name"], "yes" if r["here"] else "no", r["about"]] for r in rows]
    print(dump(rows) if as_json else tables.text(["name", "here", "what it is"], lines, rule=True))


@command.command("get")
@click.argument("name")
def get(name: str) -> None:
    """Download, verify and prepare a data set. The only command that uses the network."""
    from retable.bench import data

    with plain(LookupError):
        source = data.find(name, _packages())
    if source.get is None:
        print(f"{name} needs no download: {source.missing() or 'it is here'}")
        return
    source.get()
    print(f"{name} is ready")


def _packages() -> list[str]:
    """The packages of this project's suites, which may bring data of their own; suites that are broken are told of."""
    from retable.bench.suite import loader

    packages, broken = loader.packages()
    for line in broken:
        print(f"{line}\n(the data of its packages is left out)", file=sys.stderr)
    return packages
