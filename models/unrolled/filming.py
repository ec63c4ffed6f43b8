"""Stylising a film frame by frame, with and without temporal consistency: the task `stylised_video` (section 5.5).

Shape suffixes: T frames, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.data import sintel, video
from retable.bench.data.video import Clip
from retable.bench.task import Context, Evaluation, State
from retable.models.stylizers.pictures import stylizer
from retable.models.transfer import data
from retable.models.transfer.objective import Objective, loss_network
from retable.models.transfer.pictures import needed
from retable.models.unrolled import SHOWN_FRAMES, Film
from retable.models.unrolled.proximal import Proximal, compose, photorealism, temporal
from retable.models.unrolled.solving import Restructurable
from retable.models.unrolled.warping import consistent, estimated, flicker, temporal_error, warp

SHOWN = 4
"""Frames in the picture, in reading order: the first, the last and those between, evenly."""

Frame = Callable[[Tensor, Proximal | None], Tensor]
"""One frame [1, 3, H, W] and an operator that holds it near the last result -> the stylised frame."""


class FilmTask:
    """The task `stylised_video`: there is nothing to train."""

    steps = 0

    def __init__(self, settings: Film, context: Context) -> None:
        s = self.settings = settings
        self.device = context.device
        self.clip = clip_of(s)
        style_13HW = data.tensor(data.image(s.style, *s.pixels), self.device)
        self.style_13HW = style_13HW
        if s.method == "unchanged":
            self.frame: Frame = lambda frame, _: frame
            return
        state = needed(context.start, f"a trained {s.method}")
        if state["settings"]["weights"] != s.weights:
            raise ValueError(f"weights: started from a model of '{state['settings']['weights']}', not '{s.weights}'")
        if s.method == "unrolled":
            self.frame = solver_frames(Restructurable(state, self.device), style_13HW, s)
        else:
            if state["settings"].get("method") != s.method:
                raise ValueError(f"started from {state['settings'].get('method')}, not from decoders of {s.method}")
            stylise = stylizer(state, self.device, smoothing=s.photo)
            self.frame = lambda frame, _: stylise(frame, style_13HW)

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise RuntimeError("this task has no steps")

    def evaluate(self) -> Evaluation:
        """Stylise online, each frame knowing the one before; measure along the film's own flow."""
        s = self.settings
        frames = data.tensor(self.clip.frames, self.device)
        flows = torch.from_numpy(self.clip.flows).to(self.device)
        valid = torch.from_numpy(self.clip.valid).to(self.device)
        used, trusted = flows, valid
        if s.flow != "exact":
            used, trusted = estimated_flows(self.clip.frames, s.flow, self.device)
        found = stylised(frames, used, trusted, self.frame, s.temporal, s.temporal_weight)
        errors = temporal_error(found, flows, valid)
        floor = temporal_error(frames, flows, valid)
        whole, each = flicker(found, flows, valid)
        chosen = np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int)
        objective = Objective(loss_network(s.weights, self.device))
        with torch.no_grad():
            targets = [objective.targets(frames[[int(t)]], self.style_13HW) for t in chosen]
            losses = [objective(found[[int(t)]], target) for t, target in zip(chosen, targets, strict=True)]
        metrics = {
            "video/style": sum(float(loss.style_B) for loss in losses) / len(losses),
            "video/error": float(errors.mean()),
            "video/error_input": float(floor.mean()),
            "video/flicker": float(whole),
            "video/flicker_input": float(flicker(frames, flows, valid)[0]),
            **{f"flicker/frame{t:02d}": float(f) for t, f in enumerate(each[:SHOWN_FRAMES], 2)},
            "video/valid": float(100 * valid.float().mean()),
        }
        images = {
            "frames": sheet([data.pixels(found[[int(t)]]) for t in chosen]),
            "input": sheet([self.clip.frames[int(t)] for t in chosen]),
            "style": data.pixels(self.style_13HW),
        }
        arrays = {"frames": {"error": errors.double().cpu().numpy(), "error_input": floor.double().cpu().numpy()}}
        return Evaluation(metrics, images, arrays)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


def sheet(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size, two in a row, with white between; uint8 [H, W, 3]."""
    height, width = frames[0].shape[:2]
    gap = max(1, width // 50)
    rows = -(-len(frames) // 2)
    out = np.full((rows * (height + gap) - gap, 2 * width + gap, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        top, left = i // 2 * (height + gap), i % 2 * (width + gap)
        out[top : top + height, left : left + width] = frame
    return out


def clip_of(settings: Film) -> Clip:
    """The film of the settings: an embedded scene, or one of Sintel's."""
    s = settings
    if s.scene in video.SCENES:
        return video.load(s.scene, s.frames, *s.pixels)
    return sintel.load(s.scene.removeprefix("sintel:"), s.frames, *s.pixels)


def solver_frames(method: Restructurable, style_13HW: Tensor, settings: Film) -> Frame:
    """The solver as a stylist of frames: photorealism and temporal consistency are composed, in this order."""
    guide = method.guide([style_13HW])

    def frame(content_13HW: Tensor, hold: Proximal | None) -> Tensor:
        operators = [photorealism(content_13HW, settings.photo_weight)] if settings.photo else []
        operators += [hold] if hold else []
        return method(content_13HW, guide, proximal=compose(*operators) if operators else None)

    return frame


def stylised(
    frames_T3HW: Tensor, flows_T2HW: Tensor, valid_T1HW: Tensor, frame: Frame, when: str, weight: float
) -> Tensor:
    """The film, clipped to [0, 1], [T, 3, H, W].

    when: "never" holds no frame to the one before; "inside" does after every update of the method, "after" once on
    its result (the post-processing of section 5.5).
    """
    found: list[Tensor] = []
    for t in range(len(frames_T3HW)):
        hold = None
        if when != "never" and found:
            warped = warp(found[-1], flows_T2HW[t - 1 : t])
            hold = temporal(warped, valid_T1HW[t - 1 : t].float(), weight)
        result = frame(frames_T3HW[t : t + 1], hold if when == "inside" else None)
        if when == "after" and hold is not None:
            result = hold(result.clamp(0, 1))
        found.append(result.clamp(0, 1))
    return torch.cat(found)


def estimated_flows(frames_THWC: np.ndarray, method: Any, device: str) -> tuple[Tensor, Tensor]:
    """Flows back of every pair of frames, [T - 1, 2, H, W], and where they agree with the flows forth."""
    backward = [estimated(a, b, method) for a, b in pairwise(frames_THWC)]
    forward = [estimated(b, a, method) for a, b in pairwise(frames_THWC)]
    back = torch.from_numpy(np.stack(backward)).to(device)
    return back, consistent(back, torch.from_numpy(np.stack(forward)).to(device))
