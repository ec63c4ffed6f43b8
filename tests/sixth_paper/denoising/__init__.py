"""Which penalty keeps the edges? Two ways to take the noise off a photograph. Imports no torch."""

from pydantic import Field, field_validator

from denoising.penalties import PENALTIES
from retable.bench.task import Metric, Settings, TaskSpec, did_you_mean


class Denoise(Settings):
    """Equation 1: u = argmin ½ mean (u − y)² + weight · mean penalty(∇u), for a noisy photograph y."""

    penalty: str
    weight: float = Field(ge=0)
    noise: float = Field(ge=0, description="standard deviation; the photograph's values are in [0, 1]")
    steps: int = Field(gt=0)
    lr: float = Field(gt=0, description="of Adam")
    size: int = Field(gt=1, description="side of the photograph in pixels")

    @field_validator("penalty")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PENALTIES:
            raise ValueError(f"unknown penalty '{name}'{did_you_mean(name, PENALTIES)}")
        return name


METRICS = {
    "loss/total": Metric("the objective, equation 1"),
    "quality/psnr": Metric("of the result against the clean photograph", better="higher", unit="dB"),
    "quality/noisy": Metric("of the noisy photograph, before anything is done", better="higher", unit="dB"),
}

TASKS = [TaskSpec("denoise", Denoise, "denoising.task:DenoiseTask", METRICS, "loss/total", lambda s: ["photos"])]
