"""One trial over several processes: each takes its share of every batch, all keep the same weights.

What the processes do together goes through torch.distributed's default group, which the engine has joined before a
task is made with `Context.ranks` above 1. Nothing here is called in a trial of one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BUCKET = 8 * 2**20
"""Numbers that travel at once, about: enough to hide a message's latency, little enough to need no memory."""


def share(batch: int, rank: int, ranks: int) -> range:
    """The places of a batch of `batch` that process `rank` of `ranks` takes; `batch` divides by `ranks`."""
    size = batch // ranks
    return range(rank * size, (rank + 1) * size)


@torch.no_grad()
def average_(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their means over all processes, in place; in every process the same, in the same order."""
    waiting = []
    for bucket in _buckets(tensors):
        flat = torch.cat([t.reshape(-1) for t in bucket])
        waiting.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in waiting:
        work.wait()
        parts = torch.split(flat.div_(dist.get_world_size()), [t.numel() for t in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


def average_gradients_(optimizer: torch.optim.Optimizer) -> None:
    """Gradients of the mean loss over all processes, for what `optimizer` updates."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    average_(p.grad for p in parameters if p.grad is not None)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Neighbours of one type, up to `BUCKET` numbers together."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or sum(t.numel() for t in bucket) >= BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


class _Mean(torch.autograd.Function):
    """Mean over all processes. It is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        mean = x.contiguous().clone()
        dist.all_reduce(mean)
        return mean.div_(dist.get_world_size())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        mean: Tensor = _Mean.forward(ctx, gradients[0])
        return mean


def mean(x: Tensor) -> Tensor:
    """Mean of `x` over all processes; gradients reach every process's own."""
    found: Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
    return found


def gathered(x: Tensor) -> Tensor:
    """The `x` of all processes, [ranks, *x.shape], alike in each; gradients reach every process's own."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    return mean(torch.stack([x if r == rank else torch.zeros_like(x) for r in range(ranks)])) * ranks


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of all processes' samples together, equally many each; on any device.

    torch's own runs on GPUs alone. State and evaluation are those of the layer that it replaces.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected [B, C, ...], not {list(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        others = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        variances_RC, means_RC = gathered(torch.stack(torch.var_mean(x, others, correction=0))).unbind(1)
        mean_C = means_RC.mean(0)
        variance_C = (variances_RC + (means_RC - mean_C).square()).mean(0)
        self._follow(mean_C.detach(), variance_C.detach(), x.numel() // x.shape[1] * len(means_RC))
        scale_C = (variance_C + self.eps).rsqrt()
        if self.weight is not None:
            scale_C = scale_C * self.weight
        out = (x - mean_C.view(shape)) * scale_C.view(shape)
        if self.bias is not None:
            out = out + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean_C: Tensor, variance_C: Tensor, count: int) -> None:
        """Update the running statistics as torch does: with the unbiased variance of `count` values a channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C, momentum)
        self.running_var.lerp_(variance_C * (count / max(1, count - 1)), momentum)


def synchronise_(module: nn.Module) -> None:
    """Have every batch normalisation inside `module` count all processes' samples; weights and names stay.

    Raises TypeError for one that does more than normalise.
    """
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            if type(child) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                raise TypeError(f"{type(child).__name__} '{name}' can't be synchronised: train it in one process")
            affine, tracked = child.affine, child.track_running_stats
            made = SyncBatchNorm(child.num_features, child.eps, child.momentum, affine, tracked)
            made.weight, made.bias = child.weight, child.bias
            made.running_mean, made.running_var = child.running_mean, child.running_var
            made.num_batches_tracked = child.num_batches_tracked
            setattr(module, name, made.train(child.training))
        else:
            synchronise_(child)


def reseed(seed: int, step: int, rank: int) -> None:
    """Seed torch's generators for one step of one process: dropout differs between processes, and a resumed trial
    needs no generator but the first's."""
    torch.manual_seed(int(np.random.default_rng((seed, step, rank)).integers(2**63)))
