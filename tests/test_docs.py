"""Every command and every block of Python in README.md, CONTRIBUTING.md and docs/ is run (`pytest -m slow`, but for two
pages), and what it prints is compared.

A page runs from top to bottom in a project of its own: a copy of the sixth paper, or of the suites made smaller
(`SMALLER`). Commands that would still take minutes are run as `INSTEAD` says. Commands that install, clone or run the
tests themselves are checked, not run (`CHECKED`). Of what is printed, numbers and times may differ.

In a page, an HTML comment before a block says what it is: `project: NAME` (which project the page is run in),
`file: PATH` (the block is that file, verbatim), `write: PATH` and `append: PATH` (it is put there). A block of `text`
is what the commands before it print; `...` stands for any lines.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest
from running import ROOT

from retable.bench.commands.main import bench as commands
from retable.bench.report import ledger

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

SMALLER = {"images": 8, "held_out": 2, "preview_size": 64, "steps": 2, "pause": 0}
"""Setting -> its value in every suite of the project `papers`, wherever the suite gives it a plain number."""

FEW = "experiment=defaults,seed=0,optimizer=adam|rprop"
INSTEAD = {
    "bench run optimizers": f"bench run optimizers --where '{FEW}'",
    "bench run suites/optimizers.yaml": f"bench run suites/optimizers.yaml --where '{FEW}'",
    "bench run optimizers --stale": f"bench run optimizers --stale --where '{FEW}'",
    "bench run optimizers --where 'experiment=defaults,seed=0'": f"bench run optimizers --where '{FEW}'",
    "bench run optimizers --where optimizer=radam": (
        "bench run optimizers --where experiment=defaults,optimizer=radam,seed=0"
    ),
    "bench show optimizers 21ae0d490946": (
        f"bench show optimizers $(bench plan optimizers --where '{FEW}' --json | grep -m1 -o '[0-9a-f]\\{{12\\}}')"
    ),
    "bench run flexible_solver": "bench run flexible_solver --only photo --seeds 1",
    # After two steps its network is collapsed, and such a one is not applied. The first steps in the file are quick's.
    "bench run separability": (
        "sed -i '0,/ steps: {value: 2,/s// steps: {value: 300,/' suites/separability.yaml && "
        "bench run separability --where 'experiment=baseline,seed=0'"
    ),
    "bench check optimizers --where 'experiment=defaults,seed=0,optimizer=adam|nadam|adagrad|adadelta'": (
        f"bench check optimizers --where '{FEW}' --update"
    ),
}
"""Command -> what is run for it: fewer trials, and of the losses of smaller trials no committed baseline."""


@dataclass
class Block:
    """A fenced or indented block. marks: the comments right before it."""

    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """One by one, comments and prompts taken off, lines that end in a backslash joined."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        plain = [re.sub(r"\s+# .*$", "", line).strip() for line in lines]
        return [part.strip() for line in plain if line and not line.startswith("#") for part in line.split(" && ")]


STARTS = ("bench ", "pip ", "git ", "python ", "pytest", "ruff ", "bash ", "mypy", "cd ")


@cache
def blocks(page: str) -> list[Block]:
    """The blocks of a page in order; an indented block counts where its first word is a command."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    i = 0
    while i < len(lines):
        line = lines[i]
        if mark := re.fullmatch(r"<!-- ([a-z]+)(?:: (.*))? -->", line):
            marks[mark[1]] = mark[2] or ""
        elif line.startswith("```"):
            end = lines.index("```", i + 1)
            found.append(Block(i + 1, line[3:].strip(), "\n".join(lines[i + 1 : end]) + "\n", marks))
            marks, i = {}, end
        elif line.startswith("    ") and line.strip().startswith(STARTS) and not lines[i - 1].strip():
            end = next(
                (j for j in range(i, len(lines)) if lines[j].strip() and not lines[j].startswith("    ")), len(lines)
            )
            found.append(Block(i + 1, "sh", "\n".join(part[4:] for part in lines[i:end]) + "\n", marks))
            marks, i = {}, end - 1
        elif line.strip():
            marks = {}
        i += 1
    return found


def every(language: str) -> list[tuple[str, Block]]:
    return [(name, block) for name in NAMES for block in blocks(name) if block.language == language]


# What is checked, not run


def check_pip(words: list[str]) -> None:
    """`pip install` of this project, with extras that it has and constraint files that are there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for i, word in enumerate(words[2:], 2):
        if words[i - 1] == "-c":
            assert (ROOT / word).is_file(), word
        elif named := re.fullmatch(r"(\.|retable)\[([\w,]+)\]", word):
            assert set(named[2].split(",")) <= set(project["optional-dependencies"]), word


def check_pytest(words: list[str]) -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    for before, word in pairwise(words):
        if before == "-m":
            assert word in {m.partition(":")[0] for m in markers}, word
        elif "/" in word:
            assert (ROOT / word).exists(), word


def check_file(words: list[str]) -> None:
    assert (ROOT / words[1]).is_file(), words[1]


def check_nothing(words: list[str]) -> None:
    """Fine as it stands."""


CHECKED: dict[str, Callable[[list[str]], None]] = {
    "pip install": check_pip,
    "git clone": check_nothing,
    "python -m venv": check_nothing,
    "python -m retable.bench.suite.schema": check_nothing,
    "python -m retable.bench.judging.simulations": check_nothing,  # tests/judging/test_simulations.py
    "bench decide": check_nothing,  # hours; tests/test_deciding.py
    ".": check_nothing,
    "cd": check_nothing,
    "pytest": check_pytest,
    "ruff": check_nothing,
    "mypy": check_nothing,
    "bash": check_file,
    "python docs/screenshots.py": check_file,
    "export": check_nothing,
}
"""Beginning of a command -> how it is checked. These are not run here; .ci/run runs those that test and lint."""


def checked(command: str) -> Callable[[list[str]], None] | None:
    return next((check for start, check in CHECKED.items() if f"{command} ".startswith(f"{start} ")), None)


@pytest.mark.parametrize("page", NAMES)
def test_every_command_exists_with_its_options(page: str) -> None:
    """Cheap, so that a renamed command or option is found by the default run on slow pages too."""
    for block in (b for b in blocks(page) if b.language == "sh"):
        for command in block.commands:
            words = shlex.split(command)
            if words[0] == "bench":
                exists(commands, words[1:], f"{page}:{block.line}: {command}")
            elif check := checked(command):
                check(words)
            else:
                assert words[0] in ("sed", "cp", "python"), f"{page}:{block.line}: say how to test: {command}"


def exists(group: click.Group, words: list[str], place: str) -> None:
    context = group.make_context("bench", list(words), resilient_parsing=False, allow_extra_args=True)
    name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert found is not None, place
    if isinstance(found, click.Group):
        exists(found, rest, place)
    else:
        try:
            found.make_context(str(name), rest, parent=context)
        except click.UsageError as error:
            pytest.fail(f"{place}: {error.format_message()}")


def test_substitutes_are_for_commands_that_are_there() -> None:
    shown = {command for _, block in every("sh") for command in block.commands}
    assert set(INSTEAD) <= shown


def test_commands_are_in_blocks_that_are_run() -> None:
    assert sum(len(block.commands) for _, block in every("sh")) > 40
    assert {block.language for name in NAMES for block in blocks(name)} <= {"sh", "text", "python", "yaml"}


# What must be the same


@pytest.mark.parametrize(("page", "block"), [(n, b) for n in NAMES for b in blocks(n) if "file" in b.marks])
def test_a_file_that_is_shown_is_the_file(page: str, block: Block) -> None:
    assert block.text == (ROOT / block.marks["file"]).read_text(encoding="utf-8"), f"{page}:{block.line}"


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_the_readme_has_the_ledgers_summary() -> None:
    """`python docs/ledger.py` puts it there. What is stale changes with every edit of code, so that may differ."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- ledger -->\n")[2].partition("\n<!-- end of ledger -->")[0]
    now = ledger.summary(ledger.read(ROOT / "reports", sorted((ROOT / "suites").glob("*.yaml"))), "reports/")
    assert shown.replace(" (stale in part)", "") == now.replace(" (stale in part)", "")


# What is run


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suites made smaller, with a few trials done and pictures to work on."""
    folder = tmp_path_factory.mktemp("papers")
    small(folder)
    run("bench run optimizers --no-report --where 'experiment=defaults,optimizer=adam|rprop'", folder)
    return folder


def small(folder: Path) -> None:
    from PIL import Image

    from retable.bench.data import photos

    (folder / "suites").mkdir(parents=True)
    for suite in (ROOT / "suites").glob("*.yaml"):
        text = suite.read_text(encoding="utf-8")
        for name, value in SMALLER.items():
            text = re.sub(rf"\b({name}: {{value: )[\d.]+([,}}])", rf"\g<1>{value}\2", text)
        (folder / "suites" / suite.name).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    me = Image.fromarray(photos.load("chelsea")).resize((96, 64))
    for name in ("me.jpg", "a.jpg", "b.jpg", "painting.jpg", "evening.jpg", "texture.jpg"):
        me.save(folder / name)
    me.resize((40, 30)).save(folder / "small.png")
    for name, side in (("sky", 255), ("rest", 0)):
        mask = Image.new("L", me.size, 255 - side)
        mask.paste(side, (0, 0, me.width, me.height // 2))
        mask.save(folder / f"{name}.png")
    (folder / "frames").mkdir()
    for i in range(2):
        me.save(folder / "frames" / f"{i}.png")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """A project by the name that a page gives it."""

    def make(name: str) -> Path:
        folder = tmp_path / (name or "papers")
        if name == "sixth_paper":
            shutil.copytree(ROOT / "tests" / "sixth_paper", folder, ignore=shutil.ignore_patterns("__pycache__"))
        elif name == "new":
            small(folder)
        else:
            shutil.copytree(request.getfixturevalue("papers"), folder)
        return folder

    return make


def run(command: str, folder: Path) -> str:
    """Run a shell command in a project; what it prints. `bench` and `python` are those of this test run."""
    tools = f'bench() {{ "{sys.executable}" -m retable "$@"; }}; python() {{ "{sys.executable}" "$@"; }}; '
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "RETABLE_DATA": str(folder / "data")}
    ran = subprocess.run(
        ["bash", "-c", tools + command], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, f"{command}: exit code {ran.returncode}\n{ran.stdout[-3000:]}"
    return ran.stdout


def serve(folder: Path) -> str:
    """`bench ui`, until it answers; what it prints before that."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "ui.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "retable", "ui", "--port", str(port)], cwd=folder, stderr=out, stdout=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                return log.read_text()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.5)
        raise AssertionError(log.read_text())
    finally:
        os.killpg(process.pid, 2)
        process.wait(30)


def plain(line: str) -> str:
    """A line without what differs from run to run: numbers, times, folders, widths."""
    line = re.sub(r"\s*\([^()]* left\)$", "", line)
    line = re.sub(r"(~|/)[^\s:]*/(?=reports/)", "", line)
    line = re.sub(r"\b[0-9a-f]{8,}\b", "#", line)
    line = re.sub(r"[-−+]?\d[\d.,]*(e[-+]?\d+)?", "#", line)
    line = re.sub(r"# (ms|s|min|h)\b", "# s", line)
    return re.sub(r"-{2,}", "--", re.sub(r"\s+", " ", line)).strip()


def compare(shown: str, printed: str, place: str) -> None:
    """What a page shows was printed, line by line; `...` stands for any lines."""
    lines = [p for part in shown.splitlines() if (p := plain(part))]
    pattern = "".join("(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in lines)
    said = "".join(f"{p}\n" for line in printed.splitlines() if (p := plain(line)))
    assert re.search(f"^{pattern}", said, re.MULTILINE), f"{place} shows\n{shown}\nand this was printed:\n{printed}"


def run_page(page: str, place: Callable[[str], Path]) -> Path:
    """From top to bottom; the project it was run in."""
    project = next((b.marks["project"] for b in blocks(page) if "project" in b.marks), "papers")
    folder = place(project)
    script: list[str] = []
    printed, comparable = "", True
    for block in blocks(page):
        where = f"{page}:{block.line}"
        if "file" in block.marks:
            printed, comparable = "", False
        elif kind := next((k for k in ("write", "append") if k in block.marks), None):
            with (folder / block.marks[kind]).open("w" if kind == "write" else "a") as out:
                out.write(("\n\n" if kind == "append" else "") + block.text)
        elif block.language == "sh":
            todo = [c for c in block.commands if not checked(c)]
            printed = "".join(serve(folder) if c == "bench ui" else run(INSTEAD.get(c, c), folder) for c in todo)
            comparable = not any(c in INSTEAD for c in todo)
        elif block.language == "text" and comparable:
            compare(block.text, printed, where)
        elif block.language == "python":
            script.append(block.text)
    if script:
        (folder / "page.py").write_text("\n".join(script))
        run("python page.py", folder)
    return folder


SIXTH = "docs/add-a-paper.md"
RUN = [name for name in NAMES if name != SIXTH and any(b.language in ("sh", "python") for b in blocks(name))]
SHORT = ["docs/limits.md"]
"""Pages of a few seconds; of the others the default run checks that their commands and options exist."""


@pytest.mark.parametrize("page", SHORT)
def test_a_short_page_does_what_it_says(page: str, place: Callable[[str], Path]) -> None:
    run_page(page, place)


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name in RUN if name not in SHORT])
def test_a_page_does_what_it_says(page: str, place: Callable[[str], Path]) -> None:
    run_page(page, place)


@pytest.mark.slow
def test_the_example_runs(place: Callable[[str], Path]) -> None:
    folder = place("papers")
    said = run("python docs/example.py", folder)
    assert "rprop above adam by" in said and (folder / "optimizers.png").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_the_screenshots_are_made(place: Callable[[str], Path]) -> None:
    folder = place("papers")
    run("python docs/screenshots.py --out pictures", folder)
    assert {p.name for p in (folder / "pictures").iterdir()} == {
        "report.png", "comparison.png", "run.png", "artifacts.png",
    }  # fmt: skip


def test_the_sixth_paper_is_rebuilt_without_a_line_in_the_engine(place: Callable[[str], Path]) -> None:
    """As its page says; its report has the table, the figures, and each claim's verdict, one of them against it."""
    sixth = run_page(SIXTH, place)
    report = (sixth / "reports" / "denoising" / "quick.md").read_text()
    assert "Of 3 claims: 1 reproduced, 1 within noise, 1 contradicted." in report
    assert "not published: the paper does not state it" in report
    assert {"figure1.jpg", "figure2.svg"} <= {p.name for p in (sixth / "reports" / "denoising" / "quick").iterdir()}
    engine = [p for p in (ROOT / "bench").rglob("*") if p.suffix in (".py", ".json", ".js")]
    assert not [p for p in engine if "denoising" in p.read_text(encoding="utf-8")]
