"""Perceptual losses: features of a frozen ImageNet VGG, Gram matrices, content, style, total variation.

Sources: Gatys, Ecker and Bethge 2016 (the losses), Johnson, Alahi and Fei-Fei 2016 (as training losses of a
network), Simonyan and Zisserman 2015 (VGG-16, VGG-19). Equation numbers are those of "Comparing
Optimization Methods for Deep Learning at the Example of Artistic Style Transfer" (2020), section 2.2.

Shape suffixes: B batch, C channels, H height, W width, L = H * W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from retable.bench.data import weights as files
from retable.bench.task import did_you_mean

Source = Literal["file", "torchvision"]
Depth = Literal[16, 19]
StyleReduction = Literal["mean", "frobenius"]

CONVOLUTIONS: dict[Depth, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions per block; a max-pooling stands between two blocks."""


@dataclass(frozen=True)
class LossNetwork:
    """Which network measured a loss. Losses of two different ones do not compare.

    source: "file" (the weights that ship with the project) or "torchvision".
    sha256: of the weights' file (torchvision publishes its first digits).
    scale: the features are those of the original network divided by `scale`; a content loss goes with
        1 / scale^2, the squared difference of two Gram matrices with 1 / scale^4.
    depth: 16 or 19, as asked. mapped: layers asked -> layers that stand for them, where they differ.
    """

    source: Source
    sha256: str
    scale: float
    depth: int
    mapped: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for logging."""
        return asdict(self)


class Vgg:
    """A frozen VGG, evaluated no deeper than the deepest layer asked for.

    layers: names like "relu2_2" (after the ReLU) or "conv4_2" (before it).
    source: whose weights; see `retable.bench.data.weights`. VGG-19 is not among the weights that ship: with source
        "file" its layers are those of the VGG-16 at the same place (`network.mapped` says which).
    maximum: value of white in the input: 255 or 1. ImageNet's mean and deviation are applied here.
    normalise: False leaves them out, as some papers do: the network then sees [0, 1].
    features: every feature is multiplied by it (folded into the weights, so that it costs nothing).
    dtype: of weights, computation and features: float32, or bfloat16 where the machine has it.

    Weights are read, converted and laid out once per process and shared by all that ask for the same.
    Raises ValueError for an unknown layer, `retable.bench.data.DataError` for missing or damaged weights.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        source: Source = "file",
        depth: Depth = 16,
        maximum: Literal[1, 255] = 255,
        normalise: bool = True,
        features: float = 1.0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not layers:
            raise ValueError("layers is empty: name at least one, such as 'relu2_2'")
        self.layers = tuple(layers)
        self._depth: Depth = depth if source == "torchvision" else 16  # of the network that is evaluated
        self._places = {layer: _place(layer, depth, self._depth) for layer in layers}
        mapped = {layer: place for layer, place in self._places.items() if place != layer}
        about = _about(source, self._depth)
        self.network = LossNetwork(source, about.sha256, about.scale / features, depth, mapped)
        self._weights, self._mean_3 = _laid_out(source, self._depth, maximum, normalise, features, str(device), dtype)
        self._dtype = dtype

    def __call__(self, image_B3HW: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Layer name -> features [B, C, H / 2^block, W / 2^block] of an image in [0, maximum].

        layers: fewer than the instance's own; then nothing deeper than the deepest of them is computed.
        """
        wanted = {layer: self._places[layer] for layer in (self.layers if layers is None else layers)}
        found = self._evaluate(image_B3HW, set(wanted.values()))
        return {layer: found[place] for layer, place in wanted.items()}

    def _evaluate(self, image_B3HW: Tensor, places: set[str]) -> dict[str, Tensor]:
        """Features by place ("relu4_3"), no deeper than the deepest of `places`."""
        found: dict[str, Tensor] = {}
        # The mean is subtracted here and not folded into the first bias: the zeros of the convolution's
        # border stand for the mean colour.
        h_BCHW = (image_B3HW - self._mean_3).to(self._dtype).contiguous(memory_format=torch.channels_last)
        for block, count in enumerate(CONVOLUTIONS[self._depth], start=1):
            for number in range(1, count + 1):
                conv = self._weights[f"{block}_{number}"]
                if (before := f"conv{block}_{number}") in places:
                    found[before] = convolve(h_BCHW, conv, relu=False)
                    h_BCHW = F.relu(found[before])
                else:
                    h_BCHW = convolve(h_BCHW, conv, relu=True)
                if (after := f"relu{block}_{number}") in places:
                    found[after] = h_BCHW
                if len(found) == len(places):
                    return found
            h_BCHW = F.max_pool2d(h_BCHW, 2)
        raise AssertionError(f"{sorted(places)} were checked when the network was made")


def gram_BCC(features_BCHW: Tensor) -> Tensor:
    """Gram matrix of each image's features, equation 2.3: [B, C, C] in float32, divided by C H W.

    Features in bfloat16 are multiplied as such (the sums are float32, the result is rounded once).
    """
    b, c, h, w = features_BCHW.shape
    # As stored in channels-last order, so that nothing is copied.
    f_BLC = features_BCHW.permute(0, 2, 3, 1).reshape(b, h * w, c)
    return torch.bmm(f_BLC.transpose(1, 2), f_BLC).float() / (c * h * w)


def content_loss(features_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    """Equation 2.2: mean squared difference of features, over the batch too; a float32 scalar."""
    return F.mse_loss(features_BCHW.float(), target_BCHW.float())


def style_loss(
    features_BCHW: Mapping[str, Tensor], grams_BCC: Mapping[str, Tensor], reduction: StyleReduction = "mean"
) -> Tensor:
    """Sum over the layers of `grams` of the squared difference of Gram matrices; a float32 scalar.

    features: layer -> features of the image; may hold further layers.
    grams: layer -> target Gram matrix (symmetric), [1, C, C] for the whole batch or [B, C, C]; gets no gradient.
    reduction: "frobenius" is equation 2.4 as printed, the squared norm, mean over the batch; "mean"
        divides each layer by its C^2 entries too, which is what the public code does and the only
        reading that fits the published losses (the norm would make them a thousand times larger).
    """
    if not grams_BCC:
        raise ValueError("no layers: give at least one target Gram matrix")
    terms = []
    for layer, target_BCC in grams_BCC.items():
        term: Tensor = _GramError.apply(features_BCHW[layer], target_BCC)  # type: ignore[no-untyped-call]
        terms.append(term if reduction == "mean" else term * target_BCC.shape[1] ** 2)
    return torch.stack(terms).sum()


class _GramError(torch.autograd.Function):
    """Mean squared difference of Gram matrix and target, with its gradient in closed form.

    With D = F^T F / CHW - T, which is symmetric, the gradient of mean(D^2) is 4 F D / (CHW B C^2): one
    product instead of autograd's two, and no other array of the matrix's size than D.
    """

    @staticmethod
    def forward(ctx: Any, features_BCHW: Tensor, target_BCC: Tensor) -> Tensor:
        b, c, h, w = features_BCHW.shape
        f_BLC = features_BCHW.permute(0, 2, 3, 1).reshape(b, h * w, c)
        target = target_BCC.to(f_BLC.dtype).expand(b, c, c)
        d_BCC = torch.baddbmm(target, f_BLC.transpose(1, 2), f_BLC, beta=-1, alpha=1 / (c * h * w))
        ctx.save_for_backward(f_BLC, d_BCC)
        ctx.shape = (b, h, w, c)
        norm: Tensor = torch.linalg.vector_norm(d_BCC, dtype=torch.promote_types(d_BCC.dtype, torch.float32))
        return norm.square() / d_BCC.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        f_BLC, d_BCC = ctx.saved_tensors
        b, h, w, c = ctx.shape
        back_BLC = torch.bmm(f_BLC, d_BCC)
        back_BLC *= gradient * (4 / (c * h * w * d_BCC.numel()))
        return back_BLC.reshape(b, h, w, c).permute(0, 3, 1, 2), None


def total_variation(image_BCHW: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, across plus down; a scalar in the image's units."""
    down = (image_BCHW[:, :, 1:] - image_BCHW[:, :, :-1]).abs().mean()
    across = (image_BCHW[:, :, :, 1:] - image_BCHW[:, :, :, :-1]).abs().mean()
    return down + across


def _place(layer: str, depth: Depth, evaluated: Depth) -> str:
    """The evaluated network's layer at the place of `layer`: itself, or a VGG-16 block's last for VGG-19's fourth."""
    known = [
        f"{kind}{block}_{number}"
        for block, count in enumerate(CONVOLUTIONS[depth], start=1)
        for number in range(1, count + 1)
        for kind in ("conv", "relu")
    ]
    if layer not in known:
        raise ValueError(f"VGG-{depth} has no layer '{layer}'{did_you_mean(layer, known, show=len(known))}")
    kind, block, number = layer[:4], int(layer[4]), int(layer[6])
    return f"{kind}{block}_{min(number, CONVOLUTIONS[evaluated][block - 1])}"


@dataclass(frozen=True)
class Convolution:
    """A frozen 3x3 convolution, ready for its device.

    packed, packed_back: on a CPU, the weights in oneDNN's own layout, for the features and for their
        gradient (which is a convolution with the weights transposed and turned by 180 degrees). Else None.
    """

    weight: Tensor
    bias: Tensor
    packed: Tensor | None
    packed_back: Tensor | None


def convolve(h_BCHW: Tensor, conv: Convolution, *, relu: bool) -> Tensor:
    """The convolution, zero padding 1, followed by a ReLU if `relu`; differentiable in h alone."""
    if conv.packed is not None:
        if torch.is_grad_enabled() and h_BCHW.requires_grad:
            out: Tensor = _PackedConvolution.apply(h_BCHW, conv, relu)  # type: ignore[no-untyped-call]
            return out
        return _packed_convolution(h_BCHW, conv.packed, conv.bias, relu)
    out = F.conv2d(h_BCHW, conv.weight, conv.bias, padding=1)
    return F.relu_(out) if relu else out


class _PackedConvolution(torch.autograd.Function):
    """torch lays a convolution's weights out anew at every call, forward and backward; here it was done once.

    That is a third of the loss network's time for one small image, a tenth for a batch of four.
    """

    @staticmethod
    def forward(ctx: Any, h_BCHW: Tensor, conv: Convolution, relu: bool) -> Tensor:
        assert conv.packed is not None
        out = _packed_convolution(h_BCHW, conv.packed, conv.bias, relu)
        ctx.conv = conv
        if relu:
            ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        if ctx.saved_tensors:
            gradient = torch.ops.aten.threshold_backward(gradient, ctx.saved_tensors[0], 0)
        return _packed_convolution(gradient, ctx.conv.packed_back, None, False), None, None


def _packed_convolution(h_BCHW: Tensor, packed: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    """oneDNN's convolution as torch's own compiler calls it on frozen weights (torch._inductor.mkldnn_lowerings)."""
    ones = [1, 1]
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(
        h_BCHW, packed, bias, ones, ones, ones, 1, "relu" if relu else "none", [], ""
    )
    return out


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build of torch and this CPU have oneDNN's convolutions on packed weights of `dtype`."""
    mkldnn = torch.ops.mkldnn
    names = ("_convolution_pointwise", "_reorder_convolution_weight", "_is_mkldnn_bf16_supported")
    built_in: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not built_in or not all(hasattr(mkldnn, name) for name in names):
        return False
    return dtype == torch.float32 or bool(mkldnn._is_mkldnn_bf16_supported())


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, [1, 1], [1, 1], [1, 1], 1)
    return packed


def _about(source: Source, depth: Depth) -> files.Weights:
    if source == "file":
        return files.VGG16
    return files.TORCHVISION_VGG16 if depth == 16 else files.TORCHVISION_VGG19


@lru_cache(maxsize=4)
def _state(source: Source, depth: Depth) -> dict[str, Tensor]:
    return files.vgg16_state() if source == "file" else files.torchvision_state(_about(source, depth))


@lru_cache(maxsize=8)
def _laid_out(
    source: Source,
    depth: Depth,
    maximum: int,
    normalise: bool,
    features: float,
    device: str,
    dtype: torch.dtype,
) -> tuple[dict[str, Convolution], Tensor]:
    """Convolutions by place ("2_1") and the mean colour, [3, 1, 1] in [0, maximum].

    The network is positively homogeneous (ReLU, max-pooling): a factor on the features is the same factor
    on the first weights and on every bias.
    """
    about = _about(source, depth)
    mean, std = (about.mean, about.std) if normalise else ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    std_3 = torch.tensor(std).reshape(3, 1, 1) * maximum
    mean_3 = torch.tensor(mean).reshape(3, 1, 1) * maximum
    state = _state(source, depth)
    laid_out: dict[str, Convolution] = {}
    pack = device == "cpu" and can_pack(dtype)
    index = 0  # torchvision counts convolutions, ReLUs and poolings
    for block, count in enumerate(CONVOLUTIONS[depth], start=1):
        for number in range(1, count + 1):
            weight = state[f"features.{index}.weight"].float()
            bias = state[f"features.{index}.bias"].float() * features
            if index == 0:
                weight = weight / std_3 * features
            weight = weight.to(device, dtype, memory_format=torch.channels_last)
            back = weight.flip(2, 3).transpose(0, 1).contiguous() if pack else weight
            laid_out[f"{block}_{number}"] = Convolution(
                weight,
                bias.to(device, dtype),
                packed=_packed(weight.contiguous()) if pack else None,
                packed_back=_packed(back) if pack else None,
            )
            index += 2
        index += 1
    return laid_out, mean_3.to(device)
