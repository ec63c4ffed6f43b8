"""Pictures that cannot be read, or are too large to be: the report says so in their place and is written whole."""

from __future__ import annotations

import dataclasses
import io
import re
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_sample import results
from running import Ran, finished

from retable.bench.judging import views
from retable.bench.report import figures, mosaic, style
from retable.bench.report.drawn import Drawn


def png(width: int, height: int) -> bytes:
    """A picture of one colour: some kilobytes, however large it is."""
    return saved(Image.new("L", (width, height)), "PNG")


def saved(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def noise(kind: str) -> bytes:
    return saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)), kind)


def bomb(width: int, height: int) -> bytes:
    """The head of a picture of that size, and no picture."""
    data = png(8, 8)
    head = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + data[24:29]
    return data[:12] + head + zlib.crc32(head).to_bytes(4) + data[33:]


BROKEN = {
    "empty": (b"", "it is empty"),
    "soup": (b"soup" * 99, "it is no picture"),
    "zeros": (bytes(999), "it is no picture"),
    "cut png": (noise("PNG")[:3000], "image file is truncated.*"),
    "cut jpeg": (noise("JPEG")[:1500], "image file is truncated.*"),
    "a byte": (noise("PNG").replace(b"IDAT", b"IDxT"), ".+"),
    "large": (png(4097, 4096), "it has 4097 x 4096 pixels, more than a report can show"),
    "12,000 squared": (bomb(12000, 12000), "it has 12000 x 12000 pixels, more than a report can show"),
    "a bomb": (bomb(60000, 60000), "it has more pixels than a report can show"),
    "a thread": (png(4, 250), "it has 4 x 250 pixels, more than a report can show"),
}


def drawn(folder: Path, artifact: Callable[[str, str], Path] | None = None) -> Drawn:
    sample = results(folder)
    book = views.read(dataclasses.replace(sample, artifact=artifact or sample.artifact))
    with style.look():
        return figures.draw(book, "figure1", book.suite.figures["figure1"])


@pytest.mark.parametrize("name", BROKEN)
def test_a_picture_that_cannot_be_read_is_told_in_its_place(tmp_path: Path, name: str) -> None:
    data, said = BROKEN[name]
    whole = results(tmp_path).artifact
    touched: list[str] = []

    def artifact(run_id: str, path: str) -> Path:
        if not touched and "style.png" not in path and "content.png" not in path:
            touched.append(run_id)
        if run_id not in touched:
            return whole(run_id, path)
        (tmp_path / "broken").write_bytes(data)
        return tmp_path / "broken"

    before, after = drawn(tmp_path), drawn(tmp_path, artifact)
    (gap,) = after.gaps
    assert len(after.tiles) == len(before.tiles) - 1
    assert re.fullmatch(
        rf".*: the run's images/\S+ cannot be read: ({said})\. Delete run {touched[0]} in bench ui, "
        "and bench run paintings --scale quick makes it again",
        gap,
    )
    assert str(tmp_path) not in gap


def test_the_largest_picture_is_shown(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png(4096, 4096))
    (tmp_path / "long.png").write_bytes(png(10, 500))
    assert mosaic.load(tmp_path / "large.png").size == (4096, 4096)
    assert mosaic.load(tmp_path / "long.png").size == (10, 500)


def test_a_picture_that_any_run_has_comes_from_one_that_can_be_read(tmp_path: Path) -> None:
    whole = results(tmp_path).artifact
    (tmp_path / "broken").write_bytes(b"")
    asked: list[str] = []

    def first_broken(run_id: str, path: str) -> Path:
        if "style.png" not in path:
            return whole(run_id, path)
        asked.append(run_id)
        return tmp_path / "broken" if run_id == asked[0] else whole(run_id, path)

    assert drawn(tmp_path, first_broken).gaps == ()
    assert len(asked) == 2

    def all_broken(run_id: str, path: str) -> Path:
        return tmp_path / "broken" if "style.png" in path else whole(run_id, path)

    (gap,) = drawn(tmp_path, all_broken).gaps
    assert gap.startswith("style: the run's images/style.png cannot be read: it is empty. Delete run ")


PICTURES = """figures:
  pictures: {title: Ends, source: "none: a test", from: grid, kind: images, where: {lr: 0.1}, columns: method,
    artifact: images/picture.png, not_at: {big: idle trials only}}
"""


def test_the_report_of_a_run_is_written_whole_and_the_mend_that_it_names_works(
    project: Path, bench: Callable[..., Ran]
) -> None:
    suite = project / "suites" / "toy.yaml"
    suite.write_text(suite.read_text().replace("figures:\n", PICTURES).replace("seeds: 2", "seeds: 1"))
    some = ("--where", "experiment=grid,lr=0.1", "--workers", "1")
    assert bench("run", "toy", "--no-report", *some).code == 0
    run, other = (run for (run,) in finished(project).values())
    (project / "mlruns" / "artifacts" / "toy" / "grid" / run / "artifacts" / "images" / "picture.png").write_bytes(b"")
    ran = bench("report", "toy", "--format", "md", "--format", "html", "--format", "latex")
    assert (ran.code, ran.err) == (0, "")
    page = (project / "reports" / "toy" / "quick.md").read_text().replace("\\", "")
    assert "the run's images/picture.png is not as it was written; its trial is to be run again: " in page
    assert "bench verify toy --scale quick --repair and bench run toy --scale quick make it again" in page
    assert (project / "reports" / "toy" / "quick" / "pictures.png").is_file()
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as store, store:
        store.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", [run])  # as `bench ui` does
    ran = bench("run", "toy", *some)
    assert (ran.code, "1 trials to run, 1 done already" in ran.out + ran.err) == (0, True)
    assert "cannot be read" not in (project / "reports" / "toy" / "quick.md").read_text()
    assert other in {run for runs in finished(project).values() for run in runs}
