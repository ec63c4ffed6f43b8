"""Training on labelled frames alone: the decoder's cross-entropy and, half as heavy, the auxiliary head's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from retable.models import parallel
from retable.models.fanet import Supervised, optim
from retable.models.fanet.upernet import Segmenter


class SupervisedMethod(nn.Module):
    """A network and its loss. `network` is what is evaluated. ranks: processes that share each batch."""

    def __init__(self, network: nn.Module, settings: Supervised, weights: list[float] | None, ranks: int = 1) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.ranks = ranks
        self.weight: Tensor | None
        self.register_buffer("weight", torch.tensor(weights) if weights else None, persistent=False)

    def losses(self, images_B3HW: Tensor, masks_BHW: Tensor, unlabelled: Any, progress: float) -> dict[str, Tensor]:
        """Scalars by metric name, "loss/total" the one to minimise. `unlabelled` and `progress` are other methods'."""
        if not isinstance(self.network, Segmenter):
            total = self._cross_entropy(self.network(images_B3HW), masks_BHW)
            return {"loss/total": total, "loss/decoder": total}
        scores, extra = self.network.forward_train(images_B3HW)
        main = self._cross_entropy(scores, masks_BHW)
        if extra is None:
            return {"loss/total": main, "loss/decoder": main}
        auxiliary = self._cross_entropy(extra, masks_BHW)
        total = main + self.settings.auxiliary_weight * auxiliary
        return {"loss/total": total, "loss/decoder": main, "loss/auxiliary": auxiliary}

    def _cross_entropy(self, scores_BKHW: Tensor, masks_BHW: Tensor) -> Tensor:
        hardest = self.settings.hard_pixels
        if self.ranks == 1:
            return optim.cross_entropy(scores_BKHW, masks_BHW, self.weight, hardest)
        return optim.cross_entropy(scores_BKHW, masks_BHW, self.weight, hardest, counted=parallel.mean)

    def after_step(self) -> None:
        """Nothing follows an update."""
