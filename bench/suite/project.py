"""The project that this process works for: where its own packages are imported from, and where its data lies."""

from __future__ import annotations

import sys
from pathlib import Path

from retable.bench.data import source


def enter(project: Path) -> None:
    """Make a project's packages importable, and its `data/` the folder of data sets where `RETABLE_DATA` names none.

    The one place where the library changes what is the whole process's. It can't be avoided: Python finds modules by
    one list, and a task that asks for its data is given nothing but its settings. Of two projects in one process the
    packages of both are found, and data is that of the one entered last: whatever works for a suite enters it first.
    """
    if str(project) not in sys.path:
        sys.path.append(str(project))
    source.project_data = project / "data"
