"""The command `bench`: the group of all commands, and which errors end in which exit code (`common` names them).

A command is imported when it is called for, and imports what is heavy in its functions: `--help`, `list` and `plan`
stay light.
"""

from __future__ import annotations

import errno
import importlib
import sys

import click

from retable.bench.commands.common import FINE, INTERRUPTED, USAGE
from retable.bench.commands.output import let_readers_leave
from retable.bench.errors import RetableError

NAMES = (
    *("apply", "check", "compare", "data", "decide", "doctor", "gc", "list", "plan"),
    *("report", "run", "show", "status", "ui", "verify", "why", "worker"),
)
"""Each is the module beside this one whose `command` it is."""


class Commands(click.Group):
    """The commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NAMES:
            return None
        found: click.Command = importlib.import_module(f"retable.bench.commands.{cmd_name}").command
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="retable", prog_name="bench")
def bench() -> None:
    """Rebuild the tables and figures of papers from real runs.

    A suite is one YAML file: give its path, or its name. Start with: bench run optimizers
    """


_NOT_OURS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
)
"""Errors of files that only the person at the keyboard can mend: a full disk, a folder that may not be written."""


def main() -> None:
    """Entry point of the console script: errors that a person can mend are printed plainly, with exit code 2."""
    let_readers_leave()
    try:
        sys.exit(bench.main(prog_name="bench", standalone_mode=False) or FINE)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except RetableError as error:
        print(error, file=sys.stderr)
        sys.exit(USAGE)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        print(error, file=sys.stderr)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
