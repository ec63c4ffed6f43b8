"""The group `bench`: a command a module of its name, and nothing heavy before a command needs it."""

from __future__ import annotations

import subprocess
import sys

from running import ROOT

from retable.bench.commands import main

HEAVY = {"matplotlib", "mlflow", "numpy", "optuna", "pandas", "pydantic", "rich", "sqlalchemy", "torch", "yaml"}


def test_every_module_with_a_command_is_in_the_group() -> None:
    modules = (ROOT / "bench" / "commands").glob("*.py")
    assert sorted(path.stem for path in modules if "\ndef command(" in path.read_text()) == list(main.NAMES)


def test_a_command_is_called_like_its_module() -> None:
    context = main.bench.make_context("bench", [], resilient_parsing=True)
    for name in main.NAMES:
        command = main.bench.get_command(context, name)
        assert command is not None and command.name == name and command.get_short_help_str()


def test_help_of_every_command_needs_click_alone() -> None:
    script = (
        "import sys\n"
        "from retable.bench.commands.main import NAMES, bench\n"
        "for words in ['--help'], *([name, '--help'] for name in NAMES):\n"
        "    bench.main(words, standalone_mode=False)\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.count("Usage: ") == 1 + len(main.NAMES)
    assert ran.stdout.endswith("HEAVY []\n")
