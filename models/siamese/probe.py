"""How linearly separable an encoder's features are: the paper's probe, and one that no optimizer's luck is in.

Section 4, "Linear evaluation". Both see features that were computed once (the encoder is frozen and images are not
augmented). Shapes: N images, D features, C classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIRST_LR, LAST_LR, POWER = 5e-2, 5e-4, 2
"""Section 4: Adam, polynomial decay from 5e-2 to 5e-4; the power is the released code's."""

L2, ITERATIONS = 1e-3, 100
"""Of the deterministic probe: weight of |W|^2 / 2 beside the mean cross-entropy, and L-BFGS iterations."""

SPREAD = 1e-4
"""Features that vary less than this are not blown up to unit variance: a collapsed encoder's are noise."""


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Per cent of the rows of [N, C] whose largest entry is at the label."""
    return 100 * float((logits.argmax(1) == labels).double().mean())


@torch.no_grad()
def features(encoder: nn.Module, images: Tensor) -> Tensor:
    """Features of normalised images [N, 3, S, S] in evaluation mode, float32 [N, D], without gradients.

    The encoder is left in the mode that it was in. Raises ValueError if it gives numbers that are not finite.
    """
    mode = encoder.training
    encoder.eval()
    try:
        found: Tensor = encoder(images).float()
    finally:
        encoder.train(mode)
    bad = int((~torch.isfinite(found).all(dim=1)).sum())
    if bad:
        raise ValueError(
            f"the encoder's features of {bad} of {len(found)} images are not finite: its training has diverged, "
            "and a probe on it would mean nothing"
        )
    return found


def lbfgs_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int) -> float:
    """Test accuracy in per cent of multinomial logistic regression on standardised features.

    train, test: features [N, D] and labels [N]. Full batches, float64, L-BFGS from zero: the same every time.
    """
    (x, y), (test_x, test_y) = train, test
    mean, std = x.double().mean(0), x.double().std(0, correction=0).clamp_min(SPREAD)
    x, test_x = (x.double() - mean) / std, (test_x.double() - mean) / std
    weight = torch.zeros(x.shape[1], classes, dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y) + 0.5 * L2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return accuracy(test_x @ weight.detach() + bias.detach(), test_y)


def adam_probe(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int, epochs: int, batch: int, seed: int
) -> float:
    """Test accuracy in per cent of the paper's probe after its last epoch.

    A linear layer on raw features, Adam on shuffled batches, learning rate falling from FIRST_LR to LAST_LR. Draws
    from a generator of its own.
    """
    (x, y), (test_x, test_y) = train, test
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(x.shape[1])
    weight = torch.empty(classes, x.shape[1]).uniform_(-bound, bound, generator=generator).to(x.device)
    bias = torch.zeros(classes, device=x.device)
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.Adam(parameters, lr=FIRST_LR, fused=True)
    total, done = epochs * -(-len(x) // batch), 0
    with torch.enable_grad():
        for _ in range(epochs):
            order = torch.randperm(len(x), generator=generator).to(x.device)
            for rows in torch.split(order, batch):
                optimizer.param_groups[0]["lr"] = LAST_LR + (FIRST_LR - LAST_LR) * (1 - done / total) ** POWER
                optimizer.zero_grad()
                loss = F.cross_entropy(F.linear(x[rows], weight, bias), y[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                done += 1
    return accuracy(F.linear(test_x, weight, bias).detach(), test_y)
