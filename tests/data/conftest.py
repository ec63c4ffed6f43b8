from __future__ import annotations

from pathlib import Path

import pytest

COCO = ("RETABLE_COCO2017", "RETABLE_COCO2014")


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a data folder of its own, and no set that the machine happens to have."""
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "data"))
    for name in (*COCO, "RETABLE_ZEROWASTE_F", "RETABLE_ZEROWASTE_S", "RETABLE_IMAGENET1K"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "data"
