"""Batches as a function of the step: made ahead by worker processes, the same in any of them and after a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


class Stream(Generic[T]):
    """`stream[i]` is `make(i)`.

    make: a pure function of the step, picklable where there are workers. workers: processes that make batches
    ahead for as long as they are asked for in order; 0 makes each when it is asked for. A step out of order (a
    resumed trial's first) starts them again from there.
    """

    def __init__(self, make: Callable[[int], T], steps: int, workers: int = 0) -> None:
        self.make, self.steps, self.workers = make, steps, workers
        self._next = -1
        self._ahead: Iterator[T] = iter(())

    def __getitem__(self, index: int) -> T:
        if not self.workers:
            return self.make(index)
        if index != self._next:
            self._ahead = iter(self._loader(index))
        self._next = index + 1
        return next(self._ahead)

    def _loader(self, first: int) -> DataLoader[Any]:
        return DataLoader(
            _Steps(self.make, first, self.steps),
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),  # or the loader would draw its seed from the trial's own generator
            multiprocessing_context="forkserver",
            collate_fn=_as_it_is,
        )


class _Steps(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any], first: int, steps: int) -> None:
        self.make, self.first, self.steps = make, first, steps

    def __len__(self) -> int:
        return self.steps - self.first

    def __getitem__(self, index: int) -> Any:
        return self.make(self.first + index)


def _as_it_is(batch: Any) -> Any:
    return batch


def chosen(step: int, batch: int, count: int, seed: int) -> list[int]:
    """Which of `count` samples make batch number `step`: every sample once before any twice, shuffled anew each time.

    The order depends on `seed` alone, so that trials that share a seed see the same batches.
    """
    import numpy as np

    def order(epoch: int) -> list[int]:
        found: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
        return found

    first = step * batch
    epochs = {e: order(e) for e in range(first // count, (first + batch - 1) // count + 1)}
    return [epochs[i // count][i % count] for i in range(first, first + batch)]
