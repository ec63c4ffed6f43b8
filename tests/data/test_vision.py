"""torchvision beside whatever torch is installed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types

import pytest

from retable.bench.data import vision


def test_torchvision_imports_and_its_models_run() -> None:
    import torch

    module = vision.torchvision()
    assert vision.torchvision() is module
    with torch.device("meta"):
        network = module.models.resnet18(weights=None)
        assert network(torch.empty(1, 3, 64, 64)).shape == (1, 1000)
    small = module.transforms.v2.functional.resize(torch.zeros(3, 8, 8), [4, 4])
    assert small.shape == (3, 4, 4)


def test_a_sound_installation_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = types.ModuleType("torchvision")
    monkeypatch.setattr(vision, "_import", lambda: sound)
    monkeypatch.setattr(vision, "_declare_operators", lambda: pytest.fail("the shim must not engage"))
    assert vision.torchvision() is sound


def test_any_other_failure_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> types.ModuleType:
        raise RuntimeError("something else is wrong")

    monkeypatch.setattr(vision, "_import", broken)
    monkeypatch.setattr(vision, "_declare_operators", lambda: pytest.fail("the shim must not engage"))
    with pytest.raises(RuntimeError, match="something else"):
        vision.torchvision()


def test_the_shim_engages_when_nms_is_undeclared() -> None:
    """In a process of its own, with a stand-in wheel whose import needs the operator, as the real one's does."""
    code = textwrap.dedent("""
        import sys, pathlib, tempfile
        root = pathlib.Path(tempfile.mkdtemp())
        for name in ("torchvision", "torchvision/models", "torchvision/transforms", "torchvision/transforms/v2"):
            (root / name).mkdir()
            (root / name / "__init__.py").write_text("")
        (root / "torchvision/__init__.py").write_text(
            "import torch\\n"
            "@torch.library.register_fake('torchvision::nms')\\n"
            "def nms(dets, scores, iou_threshold): ...\\n"
            "sound = True\\n"
        )
        sys.path.insert(0, str(root))
        from retable.bench.data import vision
        module = vision.torchvision()
        assert module.sound and len(vision._declared) == 1
        assert vision.torchvision() is module and len(vision._declared) == 1
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
