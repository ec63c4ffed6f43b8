"""The generator: patches, content-aware positions, two encoders, a decoder, and convolutions back to pixels.

Source: section 2.2 of the paper, equations 1 to 5; layer sizes are the original's. An image is encoded once in
each role (content, style), however many outputs are made of it.

Shape suffixes: B batch, N = (H / P)(W / P) tokens, D width, h and w the token grid. Images are [0, 1].
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.models.stytr2 import Model, official
from retable.models.stytr2.transformer import DecoderLayer, EncoderLayer

CENTRED_GAIN = 4.0
"""Of the centred start: [0, 1] less a half has a deviation of about a quarter."""


@dataclass(frozen=True)
class ContentCode:
    """Content images as the decoder takes them: tokens h^c, their positions, the token grid."""

    tokens_BND: Tensor
    position_BND: Tensor
    grid: tuple[int, int]


class PositionalEncoding(nn.Module):
    """Content-aware positional encoding, equation 2: average pooling to n x n, F_pos, bilinear interpolation."""

    def __init__(self, width: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.position = nn.Conv2d(width, width, 1)

    def forward(self, embedding_BDhw: Tensor) -> Tensor:
        """[B, D, h, w] -> [B, D, h, w]."""
        pooled_BDnn = F.adaptive_avg_pool2d(embedding_BDhw, self.pool)
        return F.interpolate(self.position(pooled_BDnn), size=embedding_BDhw.shape[-2:], mode="bilinear")


class PixelDecoder(nn.Sequential):
    """Tokens on their grid [B, D, h, w] -> image [B, 3, P h, P w], unbounded.

    3 x 3 convolutions with reflected borders and ReLU, nearest-neighbour upsampling after the first of each
    stage: D -> D/2 | up | D/2, D/2, D/2, -> D/4 | up | D/4, -> D/8 | up | D/8, -> 3 for patches of 8; with other
    patches there are as many stages as halvings of the patch.
    """

    def __init__(self, width: int, patch: int) -> None:
        layers: list[nn.Module] = []
        c = width
        stages = patch.bit_length() - 1
        for stage in range(stages):
            layers += [*_convolution(c, c // 2), nn.ReLU(), nn.Upsample(scale_factor=2)]
            c //= 2
            for _ in range(3 if stage == 0 else 1):
                layers += [*_convolution(c, c), nn.ReLU()]
        super().__init__(*layers, *_convolution(c, 3))


def _convolution(inner: int, outer: int) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, 3, padding=1, padding_mode="reflect")]


class Generator(nn.Module):
    """G(I_c, I_s) = I_o with the forms that `settings` names."""

    def __init__(self, settings: Model) -> None:
        super().__init__()
        s = self.settings = settings
        self.content_patches = nn.Conv2d(3, s.width, s.patch, s.patch)
        self.style_patches = (
            nn.Conv2d(3, s.width, s.patch, s.patch) if s.embedding == "separate" else self.content_patches
        )
        self.cape = PositionalEncoding(s.width, s.pool)
        self.content_encoder, self.style_encoder = (
            nn.ModuleList(EncoderLayer(s.width, s.heads, s.ffn, s.dropout, s.norm) for _ in range(s.encoder_layers))
            for _ in range(2)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(s.width, s.heads, s.ffn, s.dropout, s.norm, s.decoder_attention)
            for _ in range(s.decoder_layers)
        )
        self.final_norm = nn.LayerNorm(s.width)
        self.pixels = PixelDecoder(s.width, s.patch)
        _start(self)

    def forward(self, content_B3HW: Tensor, style_B3HW: Tensor) -> Tensor:
        """I_o [B, 3, H, W], unbounded, of content and style images [B, 3, H, W]; sides are multiples of the patch."""
        return self.decode(self.encode_content(content_B3HW), self.encode_style(style_B3HW))

    def encode_content(self, image_B3HW: Tensor) -> ContentCode:
        """Images in the role of the content: h^c and e^CAPE."""
        embedding_BDhw = self.content_patches(image_B3HW)
        tokens_BND, position_BND = _tokens(embedding_BDhw), _tokens(self.cape(embedding_BDhw))
        within = self.settings.cape == "attention"
        h_BND = tokens_BND if within else tokens_BND + position_BND  # equation 1
        for layer in self.content_encoder:
            h_BND = layer(h_BND, position_BND if within else None)
        h, w = embedding_BDhw.shape[-2:]
        return ContentCode(h_BND, position_BND, (int(h), int(w)))

    def encode_style(self, image_B3HW: Tensor) -> Tensor:
        """Images in the role of the style: the memory M^s, [B, N, D]."""
        h_BND = _tokens(self.style_patches(image_B3HW))
        for layer in self.style_encoder:
            h_BND = layer(h_BND)
        return h_BND

    def decode(self, content: ContentCode, memory_BND: Tensor) -> Tensor:
        """Equation 5 from q^0, then pixels."""
        image_B3HW: Tensor = self.pixels(self._redrawn(content, memory_BND, None))
        return image_B3HW

    def _redrawn(self, content: ContentCode, memory_BND: Tensor, roles: Tensor | None) -> Tensor:
        """Equation 5 on the token grid. roles: the content's index for each memory; None: one each, in order."""
        within = self.settings.cape == "attention"
        q_BND = content.tokens_BND if within else content.tokens_BND + content.position_BND
        position_BND = content.position_BND if within else None
        first, *others = self.decoder
        q_BND = first(q_BND, memory_BND, position_BND, roles)
        if position_BND is not None and roles is not None:
            position_BND = position_BND.index_select(0, roles)
        for layer in others:
            q_BND = layer(q_BND, memory_BND, position_BND)
        q_BND = self.final_norm(q_BND)
        map_BDhw: Tensor = q_BND.transpose(1, 2).unflatten(2, content.grid)
        return map_BDhw

    def outputs(self, images_2B3HW: Tensor, *, reverse: bool, dtype: torch.dtype = torch.float32) -> Tensor:
        """I_cc, I_ss, I_o and, where `reverse`, I_r of B pairs, in one pass: [3 B or 4 B, 3, H, W] in this order.

        images: the B contents, then their B styles. Both encoders see each image once. dtype: that the transformer
        multiplies in. The convolutions that make pixels stay in float32: rounded to bfloat16, an output is off by half
        a grey level, as much as two outputs differ by where a hinge is active.
        """
        both = torch.arange(len(images_2B3HW), device=images_2B3HW.device)
        c, s = both.chunk(2)
        roles = torch.cat([both, c, s]) if reverse else torch.cat([both, c])
        memories = torch.cat([both, s, c]) if reverse else torch.cat([both, s])
        rounded = dtype != torch.float32
        with torch.autocast(images_2B3HW.device.type, dtype) if rounded else nullcontext():
            content, memory_BND = self.encode_content(images_2B3HW), self.encode_style(images_2B3HW)
            map_BDhw = self._redrawn(content, memory_BND.index_select(0, memories), roles)
        images_B3HW: Tensor = self.pixels(map_BDhw.float())
        return images_B3HW


def _start(net: Generator) -> None:
    """The weights at step 0 as `init` and `patches` say, out of torch's own."""
    stacks = (net.content_encoder, net.style_encoder, net.decoder)
    if net.settings.init == "released":
        for stack in stacks:
            for layer in stack[1:]:
                layer.load_state_dict(stack[0].state_dict())
    elif net.settings.init == "xavier":
        # Not the positions': the original makes that layer after it has drawn the others.
        for parameter in (p for stack in stacks for p in stack.parameters() if p.dim() > 1):
            nn.init.xavier_uniform_(parameter)
    if net.settings.patches == "centred":
        with torch.no_grad():
            for patches in {net.content_patches, net.style_patches}:
                assert patches.bias is not None
                patches.weight.mul_(CENTRED_GAIN)
                patches.bias.sub_(0.5 * patches.weight.sum((1, 2, 3)))
            last = net.pixels[-1]
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            last.bias.fill_(0.5)


def initial(settings: Model, seed: int) -> Generator:
    """The generator at step 0: the same weights for one seed, whatever drew random numbers before; or released ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Generator(settings)
    if settings.pretrained:
        net.load_state_dict(official.read(Path(settings.pretrained.removeprefix("file:")), net.state_dict()))
    return net


def _tokens(map_BDhw: Tensor) -> Tensor:
    return map_BDhw.flatten(2).transpose(1, 2)
