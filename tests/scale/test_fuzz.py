"""Bad input, made up by the thousand: suites, selections, settings, stores and baselines that are not what they should
be. Whatever comes in: one of the documented exit codes, and never a traceback.

`RETABLE_FUZZ=250 pytest tests/scale/test_fuzz.py` tries 250 of each kind instead of 25.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from running import ROOT, command

TOY = (ROOT / "tests" / "toy" / "suites" / "toy.yaml").read_text(encoding="utf-8")
CASES = settings(
    max_examples=int(os.environ.get("RETABLE_FUZZ", "25")),
    deadline=None,
    derandomize="RETABLE_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def bench(*args: str) -> tuple[int, str]:
    """Run a command in this process: its exit code, and what it printed. An exception is a failed test."""
    from retable.bench.commands.main import main

    before, printed = sys.argv, io.StringIO()
    sys.argv = ["bench", *args]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main()
    except SystemExit as end:
        return int(end.code or 0), printed.getvalue()
    finally:
        sys.argv = before
    return 0, printed.getvalue()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """A copy of the toy project where the grid has run and has a baseline; the working directory."""
    import shutil

    folder = tmp_path_factory.mktemp("fuzz") / "project"
    shutil.copytree(ROOT / "tests" / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        process = command("run", "toy", "--no-report", "--workers", "1", "--where", "experiment=grid,seed=0")
        assert process.wait(240) == 0
        code, said = bench("check", "toy", "--update")
        assert code == 0 and said.startswith(f"{folder}/reports/baselines/toy.quick.json: 8 added\n")
        yield folder


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["1e-3", "[", "{", "]", "&a", "*a", "!!python/object:os.system", "<<", "~", "2024-01-01", "\x00", "é"]
    ),
)
words = st.one_of(
    st.sampled_from(
        ["lr", "method", "seed", "experiment", "steps", "plain", "momentum", "0.1", "grid", "=", "<=", "!=", "|"]
    ),
    st.sampled_from([",", "*", "[", "]", "(", "a" * 300, "inf", "nan", "1e999", "lr=0.1", "\t", "\n", "'", '"', "\\"]),
    st.text(max_size=6),
)
phrases = st.lists(words, max_size=6).map("".join).filter(lambda text: "\x00" not in text and _encodable(text))


def _encodable(text: str) -> bool:
    """A command line holds no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@st.composite
def broken_suites(draw: st.DrawFn) -> bytes:
    """The toy suite with lines dropped, doubled, moved, changed; or cut short; or with bytes that are no text."""
    lines = TOY.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key, colon, value = lines[at].partition(":")
        change = draw(st.integers(0, 6))
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
        elif change == 2:
            lines[at] = " " * draw(st.integers(0, 9)) + lines[at].strip()
        elif change == 3:
            lines[at] = f"{key}{colon} {draw(scalars)}"
        elif change == 4:
            lines[at] = f"{key}: {json.dumps(draw(st.recursive(scalars, st.lists, max_leaves=4)), default=str)}"
        elif change == 5:
            lines[at] = lines[at].replace(value.strip() or key, draw(phrases), 1)
        else:
            lines[at] = draw(phrases) + lines[at]
        lines = lines or [""]
    raw = "\n".join(lines).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=4)) + raw[at:] if draw(st.booleans()) else raw[:at]
    return raw


@CASES
@given(broken_suites(), st.sampled_from([("plan",), ("list",), ("status",)]))
def test_suites(ran: Path, raw: bytes, words: tuple[str, ...]) -> None:
    file = ran / "suites" / "broken.yaml"
    file.write_bytes(raw)
    code, said = bench(*words, str(file))
    file.unlink()
    assert code in (0, 2), said
    assert code == 0 or said.strip()


@CASES
@given(
    st.sampled_from(["plan", "status", "check"]), st.sampled_from(["--where", "--set", "--only", "--scale"]), phrases
)
def test_selections_and_settings(ran: Path, word: str, option: str, value: str) -> None:
    code, said = bench(word, "toy", f"{option}={value}")
    assert code in ((0, 2) if word != "check" else (0, 1, 2, 4)), said


@CASES
@given(
    st.sampled_from(["plan", "status", "check", "report"]),
    st.one_of(
        phrases,
        st.sampled_from(
            ["sqlite:", "sqlite://", "sqlite:///", "sqlite:////", "http://", "http://:x", "https://[", "file:x"]
        ),
        st.sampled_from(
            ["postgresql://", "postgresql://@/", "mysql://u:p@h/d", "databricks", "http://h:99999", "uc:", "."]
        ),
    ),
    st.one_of(st.none(), st.binary(max_size=200)),
)
@example("plan", "https://[", None)
def test_stores(ran: Path, word: str, uri: str, content: bytes | None) -> None:
    if content is not None:
        file = ran / "other.db"
        file.write_bytes(b"SQLite format 3\x00" * (len(content) % 2) + content)
        uri = f"sqlite:///{file}"
    code, said = bench(word, "toy", f"--tracking-uri={uri}")
    assert code in (0, 1, 2, 4), said


@CASES
@given(st.data())
def test_baselines(ran: Path, data: st.DataObject) -> None:
    whole = json.loads((ran / "reports" / "baselines" / "toy.quick.json").read_text())

    def changed(value: object) -> object:
        """The value with one thing in it made something else."""
        if isinstance(value, dict) and value and data.draw(st.booleans()):
            key = data.draw(st.sampled_from(sorted(value)))
            rest = {k: v for k, v in value.items() if k != key}
            return rest if data.draw(st.integers(0, 3)) == 0 else {**rest, key: changed(value[key])}
        if isinstance(value, list) and value and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(value) - 1))
            return [changed(v) if i == at else v for i, v in enumerate(value)]
        return data.draw(scalars)

    text = json.dumps(changed(whole))
    if data.draw(st.integers(0, 4)) == 0:
        text = text[: data.draw(st.integers(0, len(text)))]
    file = ran / "baseline.json"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    code, said = bench("check", "toy", "--baseline", str(file))
    assert code in (0, 1, 4), said
