"""Looking from a fresh Python process: what an import pulls in, and whether anything asks the network."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retable.bench.testing.errors import ConformanceError

HEAVY = ("torch", "torchvision", "mlflow", "optuna", "numpy", "pandas", "PIL", "matplotlib", "scipy", "skimage")
"""What planning a suite must not wait for."""

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
"""Audit events of CPython that mean the network."""

OURS = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent))
"""Files that no one who reads an error can mend."""

_LOOK = """
import json, sys, traceback
paths, heavy, network, ours, given = json.loads(sys.argv[1])
sys.path[:] = paths
pulled, asked = {}, []

def place(end):
    return f"{end.filename}:{end.lineno}"

def files():
    return [f for f in traceback.extract_stack() if not f.filename.startswith(("<", *ours))]

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in heavy and name not in pulled:
            ends = files() or [None]
            pulled[name] = list(dict.fromkeys(place(end) for end in (ends[0], ends[-1]) if end))

def watch(event, arguments):
    if event in network:
        asked.extend(map(place, files()[-1:]))
        raise OSError(f"no network here: {event}")

sys.meta_path.insert(0, Watch())
sys.addaudithook(watch)
def look(given):
"""

_TELL = """
result = look(given)
imported = [[name, *places] for name, places in pulled.items() if name in sys.modules]  # others were but looked for
print(json.dumps([result, imported[:1], asked[:1]]))
"""


@dataclass(frozen=True)
class Look:
    """What was seen. pulled: the first heavy module, with the lines that import it; asked: the line that first asked
    the network; both empty where there is none."""

    result: Any
    pulled: str
    asked: str


def look(what: str, body: str, given: Any) -> Look:
    """Run the lines `body` of a function of `given` in a fresh process of this Python, with this one's `sys.path`.

    `what` it is about begins the `ConformanceError` that is raised where it fails.
    """
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    argument = json.dumps([sys.path, HEAVY, NETWORK, OURS, given])
    command = [sys.executable, "-c", _LOOK + lines + _TELL, argument]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
        raise ConformanceError(f"{what}: fails in a fresh process: {said[-1]}; import it to see where")
    result, pulled, asked = json.loads(ran.stdout.splitlines()[-1])
    return Look(result, _way(pulled), "".join(asked))


def _way(pulled: Sequence[Sequence[str]]) -> str:
    return " by way of ".join(filter(None, [pulled[0][0], " and ".join(pulled[0][1:])])) if pulled else ""
