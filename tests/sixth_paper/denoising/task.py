"""The task of the made-up paper: minimise equation 1 over the pixels, with Adam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from denoising import Denoise
from denoising.penalties import PENALTIES
from retable.bench.data import photos
from retable.bench.task import Context, Evaluation, State


class DenoiseTask:
    """One photograph a seed; the noise is drawn from the seed alone, so every penalty gets the same."""

    def __init__(self, settings: Denoise, context: Context):
        self.settings, self.steps = settings, settings.steps
        pixels = photos.crops(1, settings.size, seed=context.seed)[0]
        self.clean = torch.tensor(pixels, dtype=torch.float32).mean(dim=2).div(255).to(context.device)
        generator = torch.Generator().manual_seed(context.seed)
        noise = torch.randn(self.clean.shape, generator=generator).to(context.device)
        self.noisy = self.clean + settings.noise * noise
        self.u = self.noisy.clone().requires_grad_()
        self.adam = torch.optim.Adam([self.u], lr=settings.lr)

    def objective(self) -> Tensor:
        """Equation 1."""
        dx, dy = self.u[1:, 1:] - self.u[1:, :-1], self.u[1:, 1:] - self.u[:-1, 1:]
        fidelity = (self.u - self.noisy).square().mean() / 2
        return fidelity + self.settings.weight * PENALTIES[self.settings.penalty](dx, dy).mean()

    def step(self, index: int) -> Mapping[str, Tensor]:
        self.adam.zero_grad()
        loss = self.objective()
        loss.backward()
        self.adam.step()
        return {"loss/total": loss.detach()}

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        metrics = {
            "loss/total": self.objective().item(),
            "quality/psnr": psnr(self.u, self.clean),
            "quality/noisy": psnr(self.noisy, self.clean),
        }
        shown = {"clean": self.clean, "noisy": self.noisy, "denoised": self.u}
        return Evaluation(metrics, {name: picture(values) for name, values in shown.items()})

    def state_dict(self) -> dict[str, Any]:
        return {"u": self.u.detach(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: State) -> None:
        with torch.no_grad():
            self.u.copy_(state["u"])
        self.adam.load_state_dict(state["adam"])


def psnr(image: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, for values in [0, 1]."""
    return (-10 * torch.log10((image - clean).square().mean())).item()


def picture(values: Tensor) -> Any:
    """[H, W] in [0, 1] -> uint8 [H, W]."""
    return values.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
