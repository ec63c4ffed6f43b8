"""A task's hash covers every project module it reaches, and nothing that cannot change a result."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retable.bench.suite import fingerprint

LOOP = "retable.bench.run.training"
SOURCES = {
    "loom/__init__.py": "",
    "loom/tasks.py": "import loom.cloth\n\n\ndef weave(settings, context):\n    return loom.cloth.woven()",
    "loom/cloth.py": "from loom.yarns import wool\n\n\ndef woven():\n    return wool.THREADS",
    "loom/yarns/__init__.py": "",
    "loom/yarns/wool.py": "from loom.yarns.sheep import SHEEP\nTHREADS = 3 * SHEEP",
    "loom/yarns/sheep.py": "SHEEP = 7",
    "loom/unused.py": "THREADS = 4",
}
"""Task, cloth, wool, sheep: `SHEEP` is three imports away from the task."""

Write = Callable[..., fingerprint.Code]


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Write]:
    """Write files of a project (`None` deletes one); the code of `loom.tasks:weave`, or of another maker."""
    sys.path.insert(0, str(tmp_path))

    def write(
        files: dict[str, str | None], make: str = "loom.tasks:weave", packages: tuple[str, ...] = ("loom",)
    ) -> fingerprint.Code:
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if source is None:
                path.unlink()
            else:
                path.write_text(source)
        importlib.invalidate_caches()
        return fingerprint.of(make, packages)

    yield write
    for name in ("loom", "mill"):  # top packages are imported, and each test has its own
        sys.modules.pop(name, None)


def own(code: fingerprint.Code) -> list[str]:
    return [module for module in code if not module.startswith("retable")]


def test_it_follows_what_the_task_imports_and_the_loop(code: Write) -> None:
    found = code(SOURCES)
    assert own(found) == ["loom", "loom.cloth", "loom.tasks", "loom.yarns", "loom.yarns.sheep", "loom.yarns.wool"]
    assert LOOP in found and set(found["loom.yarns.wool"]) == {"imports", "THREADS"}
    assert list(found) == sorted(found)


def test_a_constant_three_imports_away_is_a_change(code: Write) -> None:
    before = code(SOURCES)
    after = code({"loom/yarns/sheep.py": "SHEEP = 8"})
    assert fingerprint.changes(before, after) == ["loom.yarns.sheep: SHEEP changed"]
    assert fingerprint.digest(before) != fingerprint.digest(after)


@pytest.mark.parametrize("package", ["loom", "loom.yarns"])
def test_what_the_package_around_an_imported_module_does_is_a_change(code: Write, package: str) -> None:
    before = code({**SOURCES, "loom/yarns/__init__.py": '"""Yarns."""'})
    after = code({f"{package.replace('.', '/')}/__init__.py": "import torch\ntorch.set_num_threads(1)"})
    assert fingerprint.changes(before, after) == [f"{package}: imports added", f"{package}: module code added"]
    assert fingerprint.digest(before) != fingerprint.digest(after)


def test_a_package_follows_no_more_than_it_imports(code: Write) -> None:
    found = code({**SOURCES, "loom/__init__.py": "import loom.dyes", "loom/dyes.py": "RED = 1", "loom/unused/x.py": ""})
    assert "loom.dyes" in found and not [module for module in found if module.startswith("loom.unused")]


def test_the_engine_around_the_loop_is_not_a_change() -> None:
    found = fingerprint.of("retable.models.optimizers:nothing")
    assert not {"retable", "retable.bench", "retable.bench.run", "retable.bench.data"} & found.keys()


def test_a_module_that_nothing_imports_is_not(code: Write) -> None:
    assert code(SOURCES) == code({"loom/unused.py": "THREADS = 5"})


WRITTEN = '''
"""What it is for."""
import math

FACTOR: float = 0.5
A = B = 1
loom.patched = 1


def loss(x: float, *rest: int, key: str = "k", **more: int) -> float:
    """Half of it."""
    half: float = FACTOR * x
    print(f"{x} steps", key or None)
    return half


async def later(x: int) -> None:
    """Nothing."""


class Loom:
    """A loom."""

    def weave(self, x: int) -> int:
        """One more."""
        return x + 1


if A:
    loss(1)
'''.lstrip()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""What it is for."""\n', ""),
        ('"""What it is for."""', '"""Something else."""'),
        ("FACTOR: float = 0.5", "FACTOR: float  =  0.5  # as in the paper"),
        ("x: float, *rest: int", "x, *rest: float"),
        ('key: str = "k"', 'key="k"'),
        ("**more: int) -> float", "**more) -> int"),
        ('    """Half of it."""\n', ""),
        ("later(x: int) -> None", "later(x)"),
        ('    """Nothing."""', "    pass"),
        ('    """A loom."""\n', "    'Another loom.'\n    'Of wood.'\n"),
        ("def weave(self, x: int) -> int", "def weave(self, x: float)"),
        ("        return x + 1", "\n        # one more\n        return (x\n                + 1)"),
        ("half: float = FACTOR * x\n", "half: float = FACTOR * x\n    'a remark'\n"),
    ],
)
def test_what_cannot_change_a_result_changes_nothing(code: Write, old: str, new: str) -> None:
    assert WRITTEN.count(old) == 1
    before = code({**SOURCES, "loom/yarns/sheep.py": WRITTEN})
    after = code({"loom/yarns/sheep.py": WRITTEN.replace(old, new)})
    assert fingerprint.changes(before, after) == [] and fingerprint.digest(before) == fingerprint.digest(after)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("import math", "import cmath", ["imports changed"]),
        ("0.5", "0.6", ["FACTOR changed"]),
        ("A = B = 1", "A = B = 2", ["A changed"]),
        ("A = B = 1", "C = B = 1", ["A removed", "C added"]),
        ("loom.patched = 1", "loom.patched = 2", ["module code changed"]),
        ("    loss(1)", "    loss(2)", ["module code changed"]),
        ("FACTOR * x", "FACTOR * x * x", ["loss changed"]),
        ('key: str = "k"', 'key: str = "l"', ["loss changed"]),
        ('    """Nothing."""', "    return 1", ["later changed"]),
        ("x + 1", "x + 2", ["Loom changed"]),
        ("def weave(self", "def woven(self", ["Loom changed"]),
        ("def loss(", "def cost(", ["cost added", "loss removed"]),
        ("{x} steps", "{x} paces", ["loss changed"]),
        ("key or None", "key or 0", ["loss changed"]),
    ],
)
def test_what_can_change_a_result_is_named(code: Write, old: str, new: str, changed: list[str]) -> None:
    assert WRITTEN.count(old) == 1
    before = code({**SOURCES, "loom/yarns/sheep.py": WRITTEN})
    after = code({"loom/yarns/sheep.py": WRITTEN.replace(old, new)})
    assert fingerprint.changes(before, after) == [f"loom.yarns.sheep: {words}" for words in changed]
    assert fingerprint.digest(before) != fingerprint.digest(after)


def test_hashes_have_not_moved(code: Write) -> None:
    found = code({**SOURCES, "loom/yarns/sheep.py": WRITTEN})
    mine = {module: found[module] for module in own(found)}
    assert fingerprint.digest(mine) == "247c531d283823ea", (
        "if this is meant, every finished trial is stale: say so in the CHANGELOG"
    )


def test_a_name_that_is_defined_twice_counts_with_both_definitions(code: Write) -> None:
    twice = "if 1:\n    pass\nSHEEP = 1\nSHEEP = 2\n"
    before = code({**SOURCES, "loom/yarns/sheep.py": twice})
    for changed in (
        twice.replace("= 1", "= 3"),
        twice.replace("= 2", "= 3"),
        "SHEEP = 2\nSHEEP = 1\nif 1:\n    pass\n",
    ):
        assert fingerprint.changes(before, code({"loom/yarns/sheep.py": changed})) == [
            "loom.yarns.sheep: SHEEP changed"
        ]


def test_modules_that_come_and_go_are_named(code: Write) -> None:
    before = code(SOURCES)
    after = code({"loom/yarns/wool.py": "from loom import unused\nTHREADS = 21"})
    assert fingerprint.changes(before, after) == [
        "loom.unused: imported now, was not before",
        "loom.yarns.sheep: no longer imported",
        "loom.yarns.wool: THREADS changed",
        "loom.yarns.wool: imports changed",
    ]
    assert fingerprint.changes(after, after) == []


@pytest.mark.parametrize(
    ("module", "written", "reached"),
    [
        ("loom/tasks.py", "import loom.unused", ["loom.unused"]),
        ("loom/tasks.py", "from loom import unused", ["loom.unused"]),
        ("loom/tasks.py", "from loom.unused import THREADS", ["loom.unused"]),
        ("loom/tasks.py", "from . import unused", ["loom.unused"]),
        ("loom/tasks.py", "from .unused import THREADS", ["loom.unused"]),
        ("loom/tasks.py", "def f():\n    from loom import unused", ["loom.unused"]),
        ("loom/tasks.py", "import os, loom.unused as u, loom.yarns", ["loom.unused", "loom.yarns"]),
        ("loom/tasks.py", "from . import yarns, unused", ["loom.unused", "loom.yarns"]),
        ("loom/yarns/__init__.py", "from . import sheep", ["loom.yarns", "loom.yarns.sheep"]),
        ("loom/yarns/__init__.py", "from .sheep import SHEEP", ["loom.yarns", "loom.yarns.sheep"]),
        ("loom/yarns/__init__.py", "from ..unused import THREADS", ["loom.unused", "loom.yarns"]),
        ("loom/yarns/wool.py", "from . import sheep", ["loom.yarns", "loom.yarns.sheep", "loom.yarns.wool"]),
        ("loom/yarns/wool.py", "from .. import unused", ["loom.unused", "loom.yarns", "loom.yarns.wool"]),
        ("loom/yarns/wool.py", "from ..unused import THREADS", ["loom.unused", "loom.yarns", "loom.yarns.wool"]),
        ("loom/tasks.py", "import loom.nothing, nothing.at.all, loom", []),
        ("loom/tasks.py", "import loomier, mill.wheel", []),
    ],
)
def test_imports_are_followed_however_they_are_written(
    code: Write, module: str, written: str, reached: list[str]
) -> None:
    start = {"loom/tasks.py": f"import {module[:-3].replace('/', '.').removesuffix('.__init__')}"}
    files = {
        **SOURCES,
        "loom/__init__.py": "",
        **start,
        module: written,
        "mill/wheel.py": "W = 1",
        "loomier.py": "L = 1",
    }
    assert own(code(files)) == sorted({*reached, "loom", "loom.tasks"})


def test_a_package_is_its_init_file_though_a_module_has_its_name(code: Write) -> None:
    found = code({**SOURCES, "loom/cloth/__init__.py": "from loom.yarns import sheep\nHERE = 1"})
    assert set(found["loom.cloth"]) == {"imports", "HERE"}


def test_the_tasks_own_package_is_followed_whether_the_suite_lists_it_or_not(code: Write) -> None:
    assert code(SOURCES, packages=()) == code({}, packages=("loom",))
    inside = {"loom/__init__.py": "from loom import cloth\ndef weave(): pass"}
    assert own(code({**SOURCES, **inside}, make="loom:weave", packages=())) == [
        "loom",
        "loom.cloth",
        "loom.yarns",
        "loom.yarns.sheep",
        "loom.yarns.wool",
    ]


def test_other_packages_are_followed_if_the_suite_lists_them(code: Write) -> None:
    mill = {"mill/__init__.py": "", "mill/wheel.py": "W = 1", "loom/tasks.py": "from mill import wheel"}
    assert own(code({**SOURCES, **mill})) == ["loom", "loom.tasks"]
    assert own(code({}, packages=("loom", "mill"))) == ["loom", "loom.tasks", "mill", "mill.wheel"]
    assert own(code({}, packages=())) == ["loom", "loom.tasks"]


def test_of_the_engine_the_data_sets_are_followed_and_nothing_else(code: Write) -> None:
    engine = "from retable.bench.data import photos\nfrom retable.bench.suite import plan\nimport retable.bench\n"
    models = "from retable.models import optimizers\n"
    files = {**SOURCES, "loom/tasks.py": engine + models}
    before = code({**SOURCES, "loom/tasks.py": ""})
    found = {*code(files)} - {*before}
    assert "retable.bench.data.photos" in found and all(m.startswith("retable.bench.data.") for m in found)
    assert "retable.models.optimizers" in code(files, packages=("loom", "retable.models"))
    found = {*code(files, packages=("loom", "retable"))} - {*before}
    assert {"retable.models", "retable.models.optimizers"} <= found
    assert all(m.startswith("retable.bench.data.") for m in found if m.startswith("retable.bench"))


def test_of_what_ships_the_papers_are_followed_unless_the_suite_lists_others() -> None:
    make = "retable.models.fast_style.task:make"
    found = fingerprint.of(make)
    assert found == fingerprint.of(make, ("retable.models",))
    assert {"retable.models.fast_style.task", "retable.models.fast_style.network", LOOP} <= set(found)
    assert not {"retable", "retable.bench", "retable.bench.task", "retable.bench.data"} & set(found)
    assert any(m.startswith("retable.bench.data.") for m in found)
    loop = [*fingerprint.of(f"{LOOP}:x", ())]
    assert [*fingerprint.of(make, ())] == [*fingerprint.of("retable.bench.suite.plan:trials", ())] == loop


def test_a_task_of_no_package_or_of_a_single_file_has_the_loop_alone(code: Write) -> None:
    loop = [*fingerprint.of(f"{LOOP}:x", ())]
    assert [*code({"loom.py": "THREADS = 1"}, make="loom:weave")] == loop
    assert [*code({}, make="nothing_of_the_kind.tasks:weave")] == loop


def test_a_file_that_changes_between_two_looks_is_read_again(code: Write) -> None:
    before = code(SOURCES)
    assert code({"loom/yarns/sheep.py": "SHEEP = 77"}) != before
    assert code({"loom/yarns/sheep.py": "SHEEP = 7"}) == before


def test_a_hash_is_sixteen_digits_and_depends_on_every_name() -> None:
    code = {"a.b": {"c": "d"}}
    assert len(fingerprint.digest(code)) == 16 and int(fingerprint.digest(code), 16) >= 0
    others = [{"a.x": {"c": "d"}}, {"a.b": {"x": "d"}}, {"a.b": {"c": "x"}}, {**code, "e": {"f": "g"}}, {}]
    assert len({fingerprint.digest(c) for c in [code, *others]}) == 6
    assert fingerprint.digest({"a": {"b": "1", "c": "2"}, "d": {"e": "3"}}) == fingerprint.digest(
        {"d": {"e": "3"}, "a": {"c": "2", "b": "1"}}
    )
