"""Separability losses by a word in the settings: the paper's two, and anybody's own by "package.module:function".

A loss is a function of what a pair's two outputs look like to the loss network (`Seen`) and of the settings. It returns
a scalar, its mean over the batch, or `Hinges`, whose activity is logged per layer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from retable.bench.task import did_you_mean
from retable.models.stytr2 import Training
from retable.models.stytr2.losses import Features, Stats, as_stored


@dataclass(frozen=True)
class Seen:
    """I_o and I_r of a batch: layer -> features [B, C, H, W] and layer -> mean and deviation [B, C] of each."""

    output: Features
    reverse: Features
    output_stats: Stats
    reverse_stats: Stats


@dataclass(frozen=True)
class Hinges:
    """What a separability loss saw. loss: equation 10 or 11 without its weight, mean over the batch.

    Layer -> share of pairs with an active hinge, and mean squared distance; detached scalars.
    """

    loss: Tensor
    content_active: Mapping[str, Tensor] = field(default_factory=dict)
    content_distance: Mapping[str, Tensor] = field(default_factory=dict)
    stats_active: Mapping[str, Tensor] = field(default_factory=dict)
    stats_distance: Mapping[str, Tensor] = field(default_factory=dict)


Separating = Callable[[Seen, Training], "Tensor | Hinges"]


def content(seen: Seen, settings: Training) -> Hinges:
    """L_sep1, equation 10: R(m^2 - squared distance of I_o's and I_r's features), summed over the layers.

    hinge "norm" holds m^2 against the distance itself, as the released code does; "unsquared" m, as its L1 form does.
    """
    terms, active, distance = [], {}, {}
    for layer, f_BCHW in seen.output.items():
        d_BF = as_stored(f_BCHW.float() - seen.reverse[layer].float()).flatten(1)
        squared_B = d_BF.square().sum(1)
        if settings.hinge == "squared":
            gap_B = settings.margin**2 - squared_B
        else:
            margin = settings.margin**2 if settings.hinge == "norm" else settings.margin
            gap_B = margin - torch.linalg.vector_norm(d_BF, dim=1)
        terms.append(gap_B.relu().mean())
        active[layer], distance[layer] = _share(gap_B), squared_B.detach().mean()
    return Hinges(torch.stack(terms).sum(), active, distance)


def full(seen: Seen, settings: Training) -> Hinges:
    """L_sep2, equation 11: 10 squared, and the same of the squared distance of means and deviations.

    sigma_sign "minus" is the equation as printed, where a difference of deviations lowers the distance.
    """
    first = content(seen, settings.model_copy(update={"hinge": "squared"}))
    terms, active, distance = [first.loss], {}, {}
    for layer, (mean_o, deviation_o) in seen.output_stats.items():
        mean_r, deviation_r = seen.reverse_stats[layer]
        means_B = (mean_o - mean_r).square().sum(1)
        deviations_B = (deviation_o - deviation_r).square().sum(1)
        gap_B = settings.margin**2 - (
            means_B + deviations_B if settings.sigma_sign == "plus" else means_B - deviations_B
        )
        terms.append(gap_B.relu().mean())
        active[layer], distance[layer] = _share(gap_B), (means_B + deviations_B).detach().mean()
    return Hinges(torch.stack(terms).sum(), first.content_active, first.content_distance, active, distance)


LOSSES: dict[str, Separating] = {"content": content, "full": full}
"""The word in the settings -> the loss; "none" has no entry."""


def hinges(word: str, seen: Seen, settings: Training) -> Hinges:
    """The separability loss `word`. Raises ValueError if it is someone's own and not to be found."""
    found = (LOSSES[word] if word in LOSSES else own(word))(seen, settings)
    return found if isinstance(found, Hinges) else Hinges(found)


def own(reference: str) -> Separating:
    """The function that "package.module:function" names."""
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"separability '{reference}': no module '{error.name}' can be imported") from error
    if not callable(function := getattr(module, name, None)):
        known = [word for word, value in vars(module).items() if callable(value)]
        raise ValueError(f"separability '{reference}': no function '{name}' in it{did_you_mean(name, known)}")
    separating: Separating = function
    return separating


def _share(gap_B: Tensor) -> Tensor:
    return (gap_B.detach() > 0).float().mean()
