"""The generator of cluttered belts: seeded, the same however it is made, readable as the real set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import retable.bench.data
from retable.bench.data import clutter, zerowaste

GOLDEN_SHARES = [0.71777, 0.03336, 0.14965, 0.01615, 0.08307]
GOLDEN_MEAN = [107.501, 101.088, 93.728]

COUNTS: dict[clutter.Part, int] = {"train": 9, "val": 2, "test": 3, "unlabelled": 4}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_set_is_read_by_the_real_sets_loader() -> None:
    folder = clutter.prepare(48, COUNTS)
    for split in zerowaste.SPLITS:
        pairs = zerowaste.pairs(split, folder)
        assert len(pairs) == COUNTS[split]
        assert all(zerowaste.read(p)[0].shape == (48, 48, 3) for p in pairs)
    assert len(zerowaste.unlabelled(folder / "unlabelled")) == 4


def test_it_is_made_once_and_the_same_by_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = clutter.prepare(32, COUNTS, workers=1)
    stamp = first.stat().st_mtime_ns
    assert clutter.prepare(32, COUNTS, workers=1) == first
    assert first.stat().st_mtime_ns == stamp
    assert not list(first.parent.glob("*.part"))
    before = files(first)
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "again"))
    assert files(clutter.prepare(32, COUNTS, workers=2)) == before


def test_scenes_are_seeded_and_differ_between_parts() -> None:
    a, again = clutter.scene(48, 0, "train", 5), clutter.scene(48, 0, "train", 5)
    assert np.array_equal(a.image, again.image)
    assert np.array_equal(a.mask, again.mask)
    for other in (clutter.scene(48, 1, "train", 5), clutter.scene(48, 0, "test", 5), clutter.scene(48, 0, "train", 6)):
        assert not np.array_equal(a.image, other.image)


def test_the_generator_is_the_one_its_version_names() -> None:
    """A change of what a seed makes needs a new METHOD: results made before would carry the wrong version."""
    assert clutter.METHOD == "clutter-1"
    masks = np.stack([clutter.scene(48, 0, "train", i).mask for i in range(20)])
    images = np.stack([clutter.scene(48, 0, "train", i).image for i in range(20)])
    shares = np.bincount(masks.ravel(), minlength=5) / masks.size
    assert shares == pytest.approx(GOLDEN_SHARES, abs=2e-4)
    assert images.mean((0, 1, 2)) == pytest.approx(GOLDEN_MEAN, abs=0.05)


def test_scenes_are_as_described() -> None:
    scenes = [clutter.scene(96, 3, "train", i) for i in range(60)]
    shares = np.bincount(np.concatenate([s.mask.ravel() for s in scenes]), minlength=5) / (60 * 96 * 96)
    assert 0.6 < shares[0] < 0.85  # mostly belt and clutter
    assert shares[2] > shares[4] > shares[3] > 0.005  # cardboard leads, metal is rare but there
    sizes = [np.ptp(np.array(polygon), axis=0).max() for s in scenes for _, polygon in s.objects]
    assert max(sizes) / min(sizes) > 5  # scale varies


def test_what_lies_under_film_shows_through_it_and_under_cardboard_does_not() -> None:
    rng = np.random.default_rng(0)
    outline = np.array([[8.0, 8.0], [24.0, 8.0], [24.0, 24.0], [8.0, 24.0]])
    patch = clutter._patch(outline, 32)
    assert patch is not None
    for draw, contrast in ((clutter._soft, 60.0), (clutter._cardboard, 0.0)):
        dark, light = (np.full((32, 32, 3), v, np.float32) for v in (40.0, 160.0))
        state = rng.bit_generator.state
        draw(dark, patch, 8.0, rng)
        rng.bit_generator.state = state
        draw(light, patch, 8.0, rng)
        inside = (light - dark)[12:20, 12:20]
        assert (inside.mean() > contrast) if contrast else (np.abs(inside).max() < 1e-3)


def test_labels_json_names_objects_with_their_polygons() -> None:
    folder = clutter.prepare(48, COUNTS, workers=1)
    labels = json.loads((folder / "train/labels.json").read_text())
    assert [c["name"] for c in labels["categories"]] == list(zerowaste.CLASSES[1:])
    assert [i["file_name"] for i in labels["images"]] == [p.image.name for p in zerowaste.pairs("train", folder)]
    for annotation in labels["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners = np.array(annotation["segmentation"][0]).reshape(-1, 2)
        assert corners.min(0) == pytest.approx([x, y])
        assert np.ptp(corners, axis=0) == pytest.approx([width, height], abs=0.02)
        assert 0 < annotation["area"] <= width * height + 0.1


def test_tiny_sizes_are_refused_and_it_needs_no_download() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        clutter.prepare(8, COUNTS)
    source = retable.bench.data.find("clutter")
    assert source.embedded
    assert source.missing() is None
    assert source.version() == clutter.METHOD
