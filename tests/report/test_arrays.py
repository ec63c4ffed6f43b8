"""Figures drawn from the arrays that runs saved."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_sample import results, suite_with

from retable.bench.judging import views
from retable.bench.report import arrays, figures, style
from retable.bench.suite.schema import Arrays, Panel

PANELS = [
    Panel(title="spectrum", y="values", log=True),
    Panel(title="course", y="course", x="epochs", x_label="epochs", limits=(0, 2)),
]


def run(lines: int = 4) -> dict[str, np.ndarray]:
    return {
        "values": np.geomspace(10, 1e-3, 20) * np.arange(1, lines + 1)[:, None],
        "epoch": np.arange(lines) * 5.0,
        "course": np.linspace(1.4, 0.2, 7),
        "epochs": np.arange(7.0),
    }


def drawn(*rows: arrays.Row, by: str | None = "epoch") -> np.ndarray:
    with style.look():
        return np.asarray(Image.open(io.BytesIO(style.png(arrays.draw(rows, PANELS, by)))).convert("RGB"))


def test_a_row_per_run_and_a_panel_per_array() -> None:
    one = drawn(arrays.Row("first", run()))
    two = drawn(arrays.Row("first", run()), arrays.Row("second", run(9)))
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] > 1.6 * one.shape[0]


@pytest.mark.parametrize("lines", [2, 12])
def test_lines_run_through_the_rainbow_from_first_to_last(lines: int) -> None:
    """Few lines have a legend, many a bar; both keep off the rainbow's nearly black ends."""
    from matplotlib import colormaps

    pixels = drawn(arrays.Row("", run(lines))).reshape(-1, 3).astype(int)
    for end in (1 / 12, 11 / 12):
        colour = (np.array(colormaps["turbo"](end)[:3]) * 255).round()
        assert (np.abs(pixels - colour).max(1) <= 2).sum() > 300


def test_several_seeds_are_a_median_with_a_band() -> None:
    """Two seeds twice and half as high: the line stays, and what lies between is coloured."""
    other = [run() | {"course": run()["course"] * factor} for factor in (0.5, 2.0)]
    alone, together = drawn(arrays.Row("", run())), drawn(arrays.Row("", run(), others=other))
    moved = (np.abs(alone.astype(int) - together).max(2) > 5).sum()
    assert moved > 5000, "the band"
    dark = [(picture.max(2) < 60).sum() for picture in (alone, together)]
    assert dark[0] == pytest.approx(dark[1], rel=0.1), "the line itself"
    middle, low, high = arrays._over_seeds([run()["course"], *(o["course"] for o in other)])
    assert middle == pytest.approx(run()["course"][None])
    assert low == pytest.approx(middle / 2) and high == pytest.approx(2 * middle)


def test_where_most_seeds_have_no_number_no_line_is_drawn() -> None:
    nothing, one = np.full(3, np.nan), np.array([1.0, np.nan, 3.0])
    middle, _, _ = arrays._over_seeds([nothing, one, one])
    assert middle == pytest.approx(np.array([[1, np.nan, 3]]), nan_ok=True)
    assert np.isnan(arrays._over_seeds([nothing, nothing, one])[0]).all()


@pytest.mark.parametrize("change", [{"values": np.ones((3, 20))}, {"epochs": np.arange(7.0) + 1}, {"course": None}])
def test_a_seed_that_measured_something_else_is_not_drawn_over(change: dict[str, np.ndarray | None]) -> None:
    row = arrays.Row("", run())
    other = {name: array for name, array in (run() | change).items() if array is not None}
    assert arrays.alike(row, run(), PANELS, "epoch")
    assert not arrays.alike(row, other, PANELS, "epoch")


def test_published_points_are_drawn_in_the_row_they_are_of() -> None:
    points = [panel.model_copy(update={"published": {"b": [(1.0, 1.0), (5.0, 0.5)]}}) for panel in PANELS]

    def picture(value: str) -> np.ndarray:
        with style.look():
            return np.asarray(
                Image.open(io.BytesIO(style.png(arrays.draw([arrays.Row("", run(), value=value)], points, "epoch"))))
            ).astype(int)

    red = np.array([int(style.BAD[i : i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(picture("b")[..., :3] - red).max(2) < 8).sum() > 30
    assert (np.abs(picture("a")[..., :3] - red).max(2) < 8).sum() == 0


def test_the_same_arrays_give_the_same_picture() -> None:
    assert np.array_equal(drawn(arrays.Row("a", run())), drawn(arrays.Row("a", run())))


def test_a_run_without_arrays_says_why_in_its_place() -> None:
    whole, half = (
        drawn(arrays.Row("a", run()), arrays.Row("b", run())),
        drawn(arrays.Row("a", run()), arrays.Row("b", {}, "diverged at step 7")),
    )
    assert half.shape == whole.shape
    assert not np.array_equal(half, whole)


def test_values_at_or_below_zero_do_not_break_a_logarithmic_panel() -> None:
    dead = run() | {"values": np.zeros((4, 20))}
    mixed = run()
    mixed["values"][:, 10:] = -1e-9
    mixed["values"][0, 0] = np.nan
    assert drawn(arrays.Row("", dead)).size and drawn(arrays.Row("", mixed)).size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": None}, "no array 'values'; it has epoch, course, epochs"),
        ({"epochs": np.arange(3.0)}, r"'epochs' and 'course' do not fit: \[3\] and \[7\]"),
        ({"epoch": np.arange(3.0)}, "no array 'epoch' with a number for each of the 4 lines"),
        ({"values": np.zeros((2, 3, 4))}, r"the shape \[2, 3, 4\]"),
        ({"values": np.zeros((0, 4))}, r"the shape \[0, 4\]"),
    ],
)
def test_what_does_not_fit_is_told(change: dict[str, np.ndarray | None], message: str) -> None:
    found = {name: array for name, array in (run() | change).items() if array is not None}
    assert re.search(message, arrays.lacking(arrays.Row("", found), PANELS, "epoch"))
    assert not arrays.lacking(arrays.Row("", run()), PANELS, "epoch")


def test_a_file_with_objects_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, evil=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        arrays.read(buffer.getvalue())


def test_an_arrays_figure_needs_its_file_and_its_panels() -> None:
    with pytest.raises(ValueError, match=r"(?s)artifact\n.*Field required.*arrays\n.*Field required"):
        Arrays.model_validate({"title": "x", "kind": "arrays", "from": "grid"})


def test_a_figure_takes_the_first_seed_of_each_row_and_names_what_is_missing(tmp_path: Path) -> None:
    spec: dict[str, Any] = {
        "title": "Spectra",
        "kind": "arrays",
        "from": "grid",
        "where": {"lr": 0.001, "batch_size": 4, "optimizer": ["adam", "rprop"]},
        "artifact": "arrays/x.npz",
        "rows": "optimizer",
        "by": "epoch",
        "arrays": [panel.model_dump() for panel in PANELS],
    }
    sample = results(tmp_path, suite=suite_with(figures={"spectra": spec}))
    np.savez(tmp_path / "x.npz", **run())
    rprop = set(sample.trials.loc[sample.trials["optimizer"] == "rprop", "run_id"])

    def artifact(run_id: str, path: str) -> Path:
        if run_id in rprop:
            raise FileNotFoundError(path)
        return tmp_path / "x.npz"

    book = views.read(dataclasses.replace(sample, artifact=artifact))
    with style.look():
        figure = figures.draw(book, "spectra", book.suite.figures["spectra"])
    assert figure.picture is not None
    assert figure.gaps == ("rprop: the run saved no arrays/x.npz",)

    def nothing(run_id: str, path: str) -> Path:
        raise FileNotFoundError(path)

    book = views.read(dataclasses.replace(sample, artifact=nothing))
    with style.look():
        figure = figures.draw(book, "spectra", book.suite.figures["spectra"])
    assert figure.picture is None
    assert figure.problem.startswith("nothing to draw: ")
    assert "adam: the run saved no arrays/x.npz" in figure.problem


def archive(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unlike(data: bytes) -> bytes:
    """The archive with a wrong byte in the middle of its first array."""
    middle = zipfile.ZipFile(io.BytesIO(data)).infolist()[0].compress_size // 2 + 50
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.filterwarnings("error")  # of matplotlib's, where words leave no room for axes
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "it is empty"),
        (lambda data: data[: len(data) // 2], "it is no .npz file, or cut short"),
        (lambda data: b"soup" * 99, "it is no .npz file, or cut short"),
        (lambda data: bytes(len(data)), "it is no .npz file, or cut short"),
        (unlike, "Error -3 while decompressing data|Bad CRC-32"),
        (lambda data: archive(values=np.zeros((2**14, 2**12), np.float32)), "its arrays take more than 256 MB"),
    ],
    ids=["empty", "cut", "soup", "zeros", "a byte", "a bomb"],
)
def test_a_file_that_cannot_be_read_leaves_its_row_empty_and_the_others_whole(
    tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    spec = {
        **{"title": "Spectra", "kind": "arrays", "from": "grid", "artifact": "arrays/x.npz", "rows": "optimizer"},
        "where": {"lr": 0.001, "batch_size": 4, "optimizer": ["adam", "rprop"]},
        **{"by": "epoch", "arrays": [panel.model_dump() for panel in PANELS]},
    }
    sample = results(tmp_path, suite=suite_with(figures={"spectra": spec}))
    (tmp_path / "whole.npz").write_bytes(archive(**run()))
    (tmp_path / "broken.npz").write_bytes(damage(archive(**run())))
    rprop = set(sample.trials.loc[sample.trials["optimizer"] == "rprop", "run_id"])
    book = views.read(
        dataclasses.replace(
            sample, artifact=lambda run_id, path: tmp_path / ("broken.npz" if run_id in rprop else "whole.npz")
        )
    )
    with style.look():
        figure = figures.draw(book, "spectra", book.suite.figures["spectra"])
    assert figure.picture is not None
    (gap,) = figure.gaps
    assert re.fullmatch(
        rf"rprop: the run's arrays/x\.npz cannot be read: .*({said}).*\. Delete run ({'|'.join(rprop)}) "
        "in bench ui, and bench run paintings --scale quick makes it again",
        gap,
    )
