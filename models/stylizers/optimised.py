"""Stylising by optimising the image itself: Gatys et al. 2016 with L-BFGS, and Luan et al. 2017 with photorealism.

Both minimise the L_TV that the solver is trained on, from the content (section 5.3); the second adds the penalty
Tr(X^T L X) of Luan et al., "Deep Photo Style Transfer", 2017, equation 2, without their semantic segmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models.stylizers import DeepPhoto, Optimised
from retable.models.transfer.matting import Laplacian, laplacian
from retable.models.transfer.objective import Objective, Target, beyond_range
from retable.models.transfer.pictures import evaluation, objective_of, pair_of

HISTORY = 20
"""Pairs of steps and gradients that L-BFGS keeps."""

EVALUATIONS = 25
"""Of a line search, at most. torch allows 5/4 of the iterations, which are one here: where the first try of a length
fails none is left, and L-BFGS never moves again."""


class OptimisedTask:
    """The tasks `gatys` and `deep_photo`; a step is one iteration of L-BFGS."""

    def __init__(self, settings: Optimised, context: Context) -> None:
        s = self.settings = settings
        self.steps, self.device = s.steps, context.device
        self.objective = objective_of(s, self.device)
        self.content_13HW, self.style_13HW = pair_of(s, self.device)
        self.target = self.objective.targets(self.content_13HW, self.style_13HW)
        self.affine_weight = s.affine_weight if isinstance(s, DeepPhoto) else 0.0
        self.matrix = laplacian(self.content_13HW[0]) if self.affine_weight else None
        self.image, self.optimizer = started(self.content_13HW)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return {"loss_network": self.objective.vgg.network.as_dict()}

    def step(self, index: int) -> Mapping[str, Tensor]:
        loss = iterated(
            self.image,
            self.optimizer,
            lambda image: objective(image, self.objective, self.target, self.matrix, self.affine_weight),
        )
        return {"loss/total": loss}

    def evaluate(self) -> Evaluation:
        return evaluation(self.objective, self.content_13HW, self.style_13HW, self.image.detach())

    def state_dict(self) -> dict[str, Any]:
        return {"image": self.image.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        with torch.no_grad():
            self.image.copy_(state["image"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))


def started(content_13HW: Tensor) -> tuple[Tensor, torch.optim.LBFGS]:
    """The image to optimise, which begins as the content, and its L-BFGS."""
    image = content_13HW.clone().contiguous().requires_grad_()
    return image, torch.optim.LBFGS(
        [image], lr=1, max_iter=1, max_eval=EVALUATIONS, history_size=HISTORY, line_search_fn="strong_wolfe"
    )


def iterated(image_13HW: Tensor, optimizer: torch.optim.LBFGS, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
    """One iteration of L-BFGS; the loss before it."""

    def closure() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(image_13HW)
        (gradient,) = torch.autograd.grad(loss, image_13HW)
        image_13HW.grad = gradient.contiguous()  # the loss network's layout is not L-BFGS's
        return loss.detach()

    loss: Tensor = optimizer.step(closure)  # type: ignore[no-untyped-call]
    return loss


def minimised(measure: Objective, content_13HW: Tensor, style_13HW: Tensor, steps: int) -> Tensor:
    """The picture after so many iterations on L_TV, not clipped."""
    target = measure.targets(content_13HW, style_13HW)
    image, optimizer = started(content_13HW)
    for _ in range(steps):
        iterated(image, optimizer, lambda x: objective(x, measure, target, None, 0.0))
    return image.detach()


def objective(
    image_13HW: Tensor, measure: Objective, target: Target, matrix: Laplacian | None, affine_weight: float
) -> Tensor:
    """L_TV plus affine_weight times Tr(X^T L X) a pixel and channel, a scalar.

    Outside [0, 1], where L_TV is flat, the mean square pulls back: a line search must not be able to run away.
    """
    total: Tensor = measure(image_13HW, target).total_B.sum()
    total = total + beyond_range([image_13HW])
    if matrix is not None:
        total = total + affine_weight * _Energy.apply(image_13HW, matrix) / image_13HW.numel()  # type: ignore[no-untyped-call]
    return total


class _Energy(torch.autograd.Function):
    """Tr(X^T L X), whose gradient is 2 L X: the stencil works in place, which autograd cannot follow."""

    @staticmethod
    def forward(ctx: Any, image_13HW: Tensor, matrix: Laplacian) -> Tensor:
        product = matrix(image_13HW.detach())
        ctx.save_for_backward(product)
        return (image_13HW * product).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (product,) = ctx.saved_tensors
        return 2 * gradients[0] * product, None
