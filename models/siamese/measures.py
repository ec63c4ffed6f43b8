"""What a network makes of a whole data set: RankMe, neighbours, and the projector's outputs over an epoch's views.

Shapes: N images, D features, d outputs of the projector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from retable.models.siamese import direct, dynamics

NEIGHBOURS, TEMPERATURE = 20, 0.1
"""How many vote, and how fast a vote's weight falls with the cosine (Wu et al., CVPR 2018)."""

CHUNK = 1000
"""Images whose cosines with all others are held at once."""

EPSILON = 1e-7
"""RankMe's, added to every share (Garrido et al., ICML 2023, section 3.1)."""


@torch.no_grad()
def survey(encoder: nn.Module, projector: nn.Module, views: Iterable[Tensor], project: Callable[..., Tensor]) -> Tensor:
    """The projector's outputs [N, d] for normalised views [B, 3, S, S], each with the statistics of its own batch.

    BatchNorm's running statistics become their means over all views, as a training without a step would leave them:
    give copies. Those of an untrained encoder are 0 and 1 until then, and what it says of an image an artefact.
    """
    for module in (*encoder.modules(), *projector.modules()):
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # a plain mean, in torch's words
    encoder.train()
    projector.train()
    return torch.cat([project(encoder, projector, view) for view in views])


def of_outputs(h: Tensor) -> dict[str, float]:
    """The numbers of `WHOLE` for the projector's outputs h [N, d]."""
    centred, plain = (_eigenvalues(x) for x in (h - h.mean(0), h))
    total = float(centred.sum())
    spread = F.normalize(h.double(), dim=1).std(0, correction=0).square().sum().sqrt()
    return {
        "whole/effective_rank": dynamics.effective_rank(centred.numpy()),
        "whole/effective_rank_uncentred": dynamics.effective_rank(plain.numpy()),
        "whole/top_share": float(centred[0]) / total if total > 0 else 1.0,
        "whole/spread": float(spread),
    }


def of_features(x: Tensor, labels: Tensor, fit: Tensor, held: Tensor) -> dict[str, float]:
    """The numbers of `FEATURES` for x [N, D]; `fit` and `held` [N] say whose labels are known and whose are asked."""
    return {
        "probe/neighbours": neighbours((x[fit], labels[fit]), (x[held], labels[held])),
        "features/rankme": rankme(x),
        "features/rankme_centred": rankme(x - x.mean(0)),
    }


def rankme(x: Tensor) -> float:
    """RankMe of x [N, D], 1 to D: exp of the entropy of the singular values' shares."""
    singular = _eigenvalues(x).sqrt()
    share = singular / singular.sum().clamp_min(direct.TINY) + EPSILON
    return float(torch.exp(-(share * share.log()).sum()))


def neighbours(known: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor]) -> float:
    """Share in per cent of `asked` features [M, D] whose label the nearest of `known` [N, D] vote for, by cosine."""
    (bank, votes), (x, labels) = ((F.normalize(f, dim=1), y) for f, y in (known, asked))
    right = torch.zeros((), device=x.device)
    for rows, wanted in zip(torch.split(x, CHUNK), torch.split(labels, CHUNK), strict=True):
        cosine, near = (rows @ bank.T).topk(min(NEIGHBOURS, len(bank)), dim=1)
        ballot = torch.zeros(len(rows), int(votes.max()) + 1, device=x.device)
        ballot.scatter_add_(1, votes[near], (cosine / TEMPERATURE).exp())
        right += (ballot.argmax(1) == wanted).sum()
    return 100 * float(right) / len(x)


def _eigenvalues(rows: Tensor) -> Tensor:
    """Eigenvalues of the rows' second moment, descending, none below 0, float64 on the CPU."""
    found: Tensor = torch.linalg.eigvalsh(direct.second_moment(rows).cpu()).flip(0).clamp_min(0)
    return found
