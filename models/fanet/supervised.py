"""Training on labelled frames alone: the decoder's cross-entropy and, half as heavy, the auxiliary head's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.fanet import Supervised, optim
from models.fanet.upernet import Segmenter


class SupervisedMethod(nn.Module):
    """A network and its loss. `network` is what is evaluated."""

    def __init__(self, network: nn.Module, settings: Supervised, weights: list[float] | None) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.weight: Tensor | None
        self.register_buffer("weight", torch.tensor(weights) if weights else None, persistent=False)

    def losses(self, images_B3HW: Tensor, masks_BHW: Tensor, unlabelled: Any, progress: float) -> dict[str, Tensor]:
        """Scalars by metric name, "loss/total" the one to minimise. `unlabelled` and `progress` are other methods'."""
        hardest, decoder = self.settings.hard_pixels, self.network
        if not isinstance(decoder, Segmenter):
            total = optim.cross_entropy(decoder(images_B3HW), masks_BHW, self.weight, hardest)
            return {"loss/total": total, "loss/decoder": total}
        scores, extra = decoder.forward_train(images_B3HW)
        main = optim.cross_entropy(scores, masks_BHW, self.weight, hardest)
        if extra is None:
            return {"loss/total": main, "loss/decoder": main}
        auxiliary = optim.cross_entropy(extra, masks_BHW, self.weight, hardest)
        total = main + self.settings.auxiliary_weight * auxiliary
        return {"loss/total": total, "loss/decoder": main, "loss/auxiliary": auxiliary}

    def after_step(self) -> None:
        """Nothing follows an update."""
