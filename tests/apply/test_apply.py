"""`bench.apply`: finds the trained model, reads any picture, writes all results or none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retable.bench.apply.applying import ApplyError, Which, Wish, apply
from retable.bench.data import DataError

PACKAGE = """
from retable.bench.task import Metric, Settings, TaskSpec

class Shade(Settings):
    shade: float = 0.5

TASKS = [TaskSpec("shade", Shade, "shadepaper.tasks:ShadeTask", {"loss/total": Metric("nothing")}, "loss/total",
                  lambda s: [], apply="shadepaper.tasks:apply")]
"""
TASKS = '''
import numpy as np
import torch
from retable.bench.task import Evaluation

class ShadeTask:
    steps = 0
    def __init__(self, settings, context):
        self.settings = settings
    def evaluate(self):
        shade = self.settings.shade
        return Evaluation({"loss/total": abs(shade - 0.3)}, {}, {}, {"shade": torch.tensor(shade)})
    def state_dict(self):
        return {}
    def load_state_dict(self, state):
        pass

def apply(model, settings, request, device):
    """Darkens by the model's shade; masks limit it to where they are white."""
    if request.photo:
        raise ValueError("this model knows no photorealism")
    for content in request.contents:
        if len(content) == 13:
            raise ValueError("thirteen rows are too few")
        mask = request.masks[0][..., None] / 255 if request.masks else 1
        dark = content * float(model["shade"]) * request.intensity
        yield np.uint8(content * (1 - mask) + dark * mask)
'''
SUITE = """
suite: shades
about: Pictures made darker, to test what uses a trained model.
paper: {title: Shades, authors: [A. Nonymous], year: 2020}
packages: shadepaper
scales: {quick: {about: seconds}}
experiments:
  halves: {task: shade, about: one shade, settings: {shade: {value: 0.5, source: section 1}}}
  several: {task: shade, about: shades, settings: {shade: {value: [0.1, 0.3, 0.9], source: section 1}}}
  quarters:
    task: shade
    about: another
    settings: {shade: {value: 0.25, source: section 1}}
    from: {experiment: halves}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project whose two models are trained."""
    folder = tmp_path_factory.mktemp("shades")
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    (folder / "shadepaper").mkdir()
    (folder / "shadepaper" / "__init__.py").write_text(PACKAGE)
    (folder / "shadepaper" / "tasks.py").write_text(TASKS)
    (folder / "suites").mkdir()
    (folder / "suites" / "shades.yaml").write_text(SUITE)
    run = [sys.executable, "-m", "retable", "run", "suites/shades.yaml", "--no-report", "--workers", "1"]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def suite(project: Path) -> Path:
    return project / "suites" / "shades.yaml"


def picture(path: Path, height: int = 20, width: int = 30, mode: str = "RGB", value: int = 200) -> Path:
    Image.new("RGB", (width, height), (value, value, value)).convert(mode).save(path)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def test_uses_the_model_that_others_start_from_or_the_one_named(suite: Path, tmp_path: Path) -> None:
    content = picture(tmp_path / "a.png")
    made = apply(suite, [content], tmp_path / "out.png")
    assert made.model.trial.experiment == "halves"
    assert (read(tmp_path / "out.png") == 100).all()
    made = apply(suite, [content], tmp_path / "out.png", which=Which(only=["quarters"]))
    assert made.model.trial.experiment == "quarters"
    assert (read(tmp_path / "out.png") == 50).all()


def test_of_several_models_the_one_with_the_lowest_loss(suite: Path, tmp_path: Path) -> None:
    content, out = picture(tmp_path / "a.png"), tmp_path / "out.png"
    assert apply(suite, [content], out, which=Which(only=["several"])).model.trial.settings["shade"] == 0.3
    assert (
        apply(suite, [content], out, which=Which(only=["several"], where="shade=0.9")).model.trial.settings["shade"]
        == 0.9
    )
    assert abs(int(read(out).max()) - 180) <= 1


@pytest.mark.parametrize("damage", ["zeroed", "removed"])
def test_a_broken_model_is_a_plain_error_with_its_mend(project: Path, suite: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    content, out, which = picture(tmp_path / "a.png"), tmp_path / "out.png", Which(only=["quarters"])
    apply(copy / "suites" / "shades.yaml", [content], out, which=which)
    out.unlink()
    (model,) = (copy / "mlruns" / "artifacts" / "shades" / "quarters").rglob("model.pt")
    model.unlink() if damage == "removed" else model.write_bytes(bytes(model.stat().st_size))
    what = "is gone" if damage == "removed" else "is not as it was written"
    mend = "bench verify shades --scale quick --repair and bench run shades --scale quick make it again"
    with pytest.raises(ApplyError, match=f"^trial .* has no model to use: model.pt of run .* {what}; {mend}$"):
        apply(copy / "suites" / "shades.yaml", [content], out, which=which)
    assert not out.exists()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "LA"])
def test_any_kind_of_picture_of_odd_size(suite: Path, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    if mode == "I;16":
        Image.fromarray(np.full((17, 23), 200 * 257, np.uint16)).save(path)
    else:
        picture(path, 17, 23, mode)
    apply(suite, [path], tmp_path / "out.png")
    found = read(tmp_path / "out.png")
    assert found.shape == (17, 23, 3)
    assert abs(int(found.mean()) - 100) <= 1


def test_several_pictures_go_into_a_folder_under_their_names(suite: Path, tmp_path: Path) -> None:
    contents = [picture(tmp_path / "a.png", 20, 30), picture(tmp_path / "b.jpg", 40, 10), picture(tmp_path / "c.png")]
    made = apply(suite, contents, tmp_path / "out")
    assert [p.name for p in made.files] == ["a.png", "b.png", "c.png"]
    assert read(tmp_path / "out" / "b.png").shape == (40, 10, 3)
    with pytest.raises(DataError, match="3 pictures do not fit in"):
        apply(suite, contents, tmp_path / "one.png")
    same = [picture(tmp_path / "d.png"), picture(tmp_path / "d.jpg")]
    assert [p.name for p in apply(suite, same, tmp_path / "out").files] == ["d_1.png", "d_2.png"]


def test_a_folder_is_a_set_of_pictures_unless_it_is_to_be_a_film(suite: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        picture(frames / f"f{i}.png", value=100 + 40 * i)
    made = apply(suite, [frames], tmp_path / "film.gif")
    with Image.open(made.files[0]) as opened:
        assert opened.n_frames == 3  # type: ignore[attr-defined]
    made = apply(suite, [tmp_path / "film.gif"], tmp_path / "again")
    assert [p.name for p in made.files] == [f"frame_{i:05d}.png" for i in (1, 2, 3)]
    picture(frames / "f3.png", 11, 13)
    made = apply(suite, [frames], tmp_path / "set")
    assert [read(p).shape[:2] for p in made.files] == [(20, 30)] * 3 + [(11, 13)]
    with pytest.raises(DataError, match="frame f3 is 13x11 pixels"):
        apply(suite, [frames], tmp_path / "no", Wish(film=True))


def test_a_film_keeps_its_time(suite: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (30, 20), (v, v, v)) for v in (100, 140, 180)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=[200, 40, 500])
    apply(suite, [tmp_path / "in.gif"], tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as opened:
        shown = [opened.seek(i) or opened.info["duration"] for i in range(3)]
    assert shown == [200, 40, 500]


def test_a_result_keeps_what_its_file_held(suite: Path, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a cat", 6  # its description; lying on its side
    photo = Image.new("RGB", (30, 20), (200, 200, 200))
    photo.save(tmp_path / "a.jpg", exif=exif, icc_profile=profile)
    for ending in ("jpg", "png", "webp"):
        (made,) = apply(suite, [tmp_path / "a.jpg"], tmp_path / f"out.{ending}").files
        with Image.open(made) as opened:
            assert opened.size == (20, 30) and opened.info["icc_profile"] == profile
            assert opened.getexif()[0x010E] == "a cat" and 0x0112 not in opened.getexif()
    clear = photo.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 15, 20))
    clear.save(tmp_path / "b.png")
    apply(suite, [tmp_path / "b.png"], tmp_path / "clear.png")
    with Image.open(tmp_path / "clear.png") as opened:
        pixels = np.asarray(opened)
    assert pixels.shape == (20, 30, 4) and pixels[10, 5, 3] == 0 and pixels[10, 25].tolist() == [100, 100, 100, 255]
    apply(suite, [tmp_path / "b.png"], tmp_path / "flat.jpg")
    assert read(tmp_path / "flat.jpg").shape == (20, 30, 3)


def test_jpegs_are_written_well(suite: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    for ending in ("png", "jpg"):
        apply(suite, [tmp_path / "a.png"], tmp_path / f"out.{ending}")
    exact = read(tmp_path / "out.png")
    Image.fromarray(exact).save(tmp_path / "usual.jpg")
    far, usual = (np.abs(read(tmp_path / name).astype(float) - exact).mean() for name in ("out.jpg", "usual.jpg"))
    assert far < 0.25 * usual


def test_a_film_needs_pyav_and_says_so_or_is_read(suite: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    try:
        import av
    except ImportError:
        film.write_bytes(b"not looked at")
        with pytest.raises(DataError, match=r"film\.mp4: reading films needs PyAV: pip install av"):
            apply(suite, [film], tmp_path / "out")
        return
    with av.open(str(film), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for value in (100, 140, 180):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    made = apply(suite, [film], tmp_path / "out")
    assert [abs(int(read(p).mean()) - v) <= 3 for p, v in zip(made.files, (50, 70, 90), strict=True)] == [True] * 3
    film.write_bytes(film.read_bytes()[:200])
    with pytest.raises(DataError, match=r"film\.mp4 (cannot be decoded|holds no frames)"):
        apply(suite, [film], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_results_never_go_over_what_is_read_or_where_they_cannot(suite: Path, tmp_path: Path) -> None:
    content = picture(tmp_path / "a.png")
    before = content.read_bytes()
    for out in (content, tmp_path):  # the folder's a.png
        with pytest.raises(DataError, match=r"a\.png is one of the inputs"):
            apply(suite, [content], out)
    for name in ("film.mp4", "picture.tif", "b.gif"):
        with pytest.raises(DataError, match=rf"cannot write .*{name}: name a folder, or a file that ends in \.png"):
            apply(suite, [content], tmp_path / name)
    with pytest.raises(DataError, match="cannot write"):
        apply(suite, [content], content / "inside" / "out.png")
    assert content.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_frames_of_changing_size_are_named(suite: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    picture(frames / "f0.png", 20, 30)
    picture(frames / "f1.png", 20, 32)
    with pytest.raises(DataError, match="frame f1 is 32x20 pixels"):  # whatever they are reduced to
        apply(suite, [frames], tmp_path / "out", Wish(size=10, film=True))
    with pytest.raises(DataError, match="frame f1 is 32x20 pixels, the first 30x20"):
        apply(suite, [frames], tmp_path / "out.gif")
    assert not (tmp_path / "out").exists()


def test_masks_say_where(suite: Path, tmp_path: Path) -> None:
    content = picture(tmp_path / "a.png", 20, 40)
    half = np.zeros((10, 20), np.uint8)
    half[:, 10:] = 255
    Image.fromarray(half).save(tmp_path / "mask.png")
    apply(suite, [content], tmp_path / "out.png", Wish(styles=["mosaic"], masks=[tmp_path / "mask.png"]))
    found = read(tmp_path / "out.png")
    assert (found[:, :15] == 200).all()
    assert (found[:, 25:] == 100).all()
    picture(tmp_path / "wrong.png", 40, 20)
    with pytest.raises(DataError, match=r"wrong\.png is 20x40 pixels, the content 40x20"):
        apply(suite, [content], tmp_path / "out.png", Wish(styles=["mosaic"], masks=[tmp_path / "wrong.png"]))


def test_mistakes_are_named_and_leave_nothing(suite: Path, tmp_path: Path) -> None:
    content, out = picture(tmp_path / "a.png"), tmp_path / "out"
    torn = tmp_path / "torn.png"
    torn.write_bytes(content.read_bytes()[:60])
    with pytest.raises(DataError, match=r"torn\.png"):
        apply(suite, [content, torn], out)
    with pytest.raises(DataError, match="'mosiac' is no file and no embedded style; did you mean 'mosaic'"):
        apply(suite, [content], out, Wish(styles=["mosiac"]))
    with pytest.raises(ApplyError, match="2 styles but 1 weights"):
        apply(suite, [content], out, Wish(styles=["mosaic", "waves"], weights=[1.0]))
    with pytest.raises(ApplyError, match="weights 0, 0: give numbers of at least 0, one above it at least"):
        Wish(styles=["mosaic", "waves"], weights=[0, 0])
    with pytest.raises(ApplyError, match="weights 1, nan"):
        Wish(styles=["mosaic", "waves"], weights=[1, float("nan")])
    with pytest.raises(ApplyError, match="1 styles but 2 masks"):
        apply(suite, [content], out, Wish(styles=["mosaic"], masks=[content, content]))
    with pytest.raises(ApplyError, match="this model knows no photorealism"):
        apply(suite, [content], out, Wish(photo=True))
    with pytest.raises(ApplyError, match="upscale 0"):
        apply(suite, [content], out, Wish(upscale=0))
    with pytest.raises(ApplyError, match="thirteen rows"):  # half-way
        apply(suite, [content, picture(tmp_path / "low.png", 13, 20)], out)
    (tmp_path / "low.png").unlink()
    with pytest.raises(DataError, match="no content"):
        apply(suite, [], out)
    with pytest.raises(DataError, match="there is no file"):
        apply(suite, [tmp_path / "nothing.gif"], out)
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "torn.png"]


@pytest.mark.parametrize("ending", ["png", "jpg", "gif"])
def test_a_file_that_is_cut_off_anywhere_is_named(suite: Path, tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    frames = [Image.fromarray(f) for f in noise]
    whole, torn, content = tmp_path / f"whole.{ending}", tmp_path / f"torn.{ending}", picture(tmp_path / "a.png")
    more = {"save_all": True, "append_images": frames[1:]} if ending == "gif" else {}
    frames[0].save(whole, **more)  # type: ignore[arg-type]
    for share in np.linspace(0, 0.95, 12):
        torn.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
        with pytest.raises(DataError, match=rf"torn\.{ending} (cannot be decoded|is not an image)"):
            apply(suite, [torn], tmp_path / "out")
    if ending != "gif":
        for given in ({"styles": [str(torn)]}, {"styles": ["mosaic"], "masks": [torn]}):
            with pytest.raises(DataError, match=rf"torn\.{ending} cannot be decoded"):
                apply(suite, [content], tmp_path / "out", Wish(**given))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_the_intensity_is_a_number(suite: Path, tmp_path: Path) -> None:
    for intensity in (float("nan"), -1.0, float("inf")):
        with pytest.raises(ApplyError, match="give a number of at least 0"):
            apply(suite, [picture(tmp_path / "a.png")], tmp_path / "out", Wish(intensity=intensity))
    assert not (tmp_path / "out").exists()


def test_an_untrained_suite_says_what_to_run(suite: Path, tmp_path: Path) -> None:
    content = picture(tmp_path / "a.png")
    with pytest.raises(ApplyError, match="nothing is trained yet: bench run shades --only halves"):
        apply(suite, [content], tmp_path / "out", tracking=f"sqlite:///{tmp_path / 'none.db'}")


def test_size_limits_what_is_computed(suite: Path, tmp_path: Path) -> None:
    made = apply(suite, [picture(tmp_path / "a.png", 40, 80)], tmp_path / "out.png", Wish(size=40))
    assert read(tmp_path / "out.png").shape == (20, 40, 3)
    assert [line.rpartition("/")[2] for line in made.reduced] == ["a.png (80x40) is worked on at 40x20"]


def test_a_large_picture_is_reduced_unless_it_is_to_be_enlarged(suite: Path, tmp_path: Path) -> None:
    large = picture(tmp_path / "a.png", 30, 1100)
    for wish, width in [(Wish(), 1024), (Wish(size=0), 1100), (Wish(upscale=2), 1100), (Wish(upscale=2, size=50), 50)]:
        made = apply(suite, [large], tmp_path / "out.png", wish)
        assert read(tmp_path / "out.png").shape[1] == width and bool(made.reduced) == (width < 1100)


def test_the_command(project: Path, tmp_path: Path) -> None:
    def bench_apply(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "retable", "apply", *args], cwd=project, capture_output=True, text=True, timeout=120
        )

    content, mask = picture(tmp_path / "a.png", 40, 80), picture(tmp_path / "mask.png", 40, 80, value=255)
    out = tmp_path / "out.png"
    options = ["--style", "mosaic", "--weight", "1", "--mask", str(mask), "--intensity", "0.5", "--size", "40"]
    ran = bench_apply("shades", str(content), "-o", str(out), *options, "--device", "cpu")
    assert (ran.returncode, ran.stdout.strip()) == (0, str(out)), ran.stderr
    assert ran.stderr.startswith("model: halves: ")
    assert read(out).shape == (20, 40, 3) and (read(out) == 50).all()

    for args, says in [
        (("shades", str(content), "-o", str(out), "--photo"), "this model knows no photorealism"),
        (("shades", str(tmp_path / "none.png"), "-o", str(out)), "none.png"),
        (("shades", str(content)), "Missing option '-o'"),
        (("shades", "-o", str(out)), "Missing argument 'CONTENT...'"),
        (("shade", str(content), "-o", str(out)), "did you mean 'shades'?"),
        (("shades", str(content), "-o", str(out), "--only", "nothing"), "nothing"),
    ]:
        ran = bench_apply(*args)
        assert ran.returncode == 2 and says in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
