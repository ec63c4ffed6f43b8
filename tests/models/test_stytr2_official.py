"""Released weights of StyTR-2 in this network, on files made with their key names and shapes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retable.models.stytr2 import Model
from retable.models.stytr2.network import Generator, initial

FORM: dict[str, Any] = {
    "embedding": "shared",
    "norm": "post",
    "cape": "attention",
    "decoder_attention": "memory",
    "init": "xavier",
    "size": 32,
    "width": 16,
    "heads": 2,
    "ffn": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "pool": 3,
    "dropout": 0.0,
}


class Their(nn.Module):
    """A layer with the names of the original's: torch's attention, then linear1, linear2 and its norms."""

    def __init__(self, attentions: tuple[str, ...]) -> None:
        super().__init__()
        for name in attentions:
            self.add_module(name, nn.MultiheadAttention(16, 2))
        self.linear1, self.linear2 = nn.Linear(16, 32), nn.Linear(32, 16)
        for i in range(len(attentions) + 1):
            self.add_module(f"norm{i + 1}", nn.LayerNorm(16))


class Stack(nn.Module):
    def __init__(self, attentions: tuple[str, ...], norm: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Their(attentions) for _ in range(2))
        if norm:
            self.norm = nn.LayerNorm(16)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder_c, self.encoder_s = (Stack(("self_attn",), False) for _ in range(2))
        self.decoder = Stack(("self_attn", "multihead_attn"), True)
        self.new_ps = nn.Conv2d(16, 16, 1)


def pixels() -> nn.Sequential:
    """The original's decoder at a thirty-second of its width, its padding as layers of their own."""
    layers: list[nn.Module] = []
    widths = (16, 8, 8, 8, 8, 4, 4, 2, 2)
    for number, (inner, outer) in enumerate(pairwise(widths)):
        up = number in (0, 4, 6)
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(inner, outer, 3), nn.ReLU(), *([nn.Upsample(scale_factor=2)] * up)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3))


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, 16, 8, 8)


@pytest.fixture
def released(tmp_path: Path) -> dict[str, nn.Module]:
    torch.manual_seed(5)
    parts: dict[str, nn.Module] = {"embedding": Embedding(), "transformer": Transformer(), "decoder": pixels()}
    for module in parts.values():
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.1)  # the attention's biases too, which start at zero
    for name, file in (
        ("embedding", "vit_embedding"),
        ("transformer", "Transformer_iter_160000"),
        ("decoder", "decoder"),
    ):
        torch.save(parts[name].state_dict(), tmp_path / f"{file}.pth")
    return parts


def test_released_weights_make_the_same_network(released: dict[str, Any], tmp_path: Path) -> None:
    net: Generator = initial(Model(**FORM, pretrained=f"file:{tmp_path}"), seed=3).eval()
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(net.content_patches(image), released["embedding"].proj(image))
    assert net.style_patches is net.content_patches
    tokens = torch.rand(1, 16, 4, 4)
    torch.testing.assert_close(net.pixels(tokens), released["decoder"](tokens))
    theirs = released["transformer"]
    x, memory = torch.rand(2, 1, 5, 16)

    def attended(attention: nn.MultiheadAttention, q: Tensor, kv: Tensor) -> Tensor:
        out: Tensor = attention(*(t.transpose(0, 1) for t in (q, kv, kv)))[0].transpose(0, 1)
        return out

    for name, stack in (("content_encoder", theirs.encoder_c), ("style_encoder", theirs.encoder_s)):
        for mine, layer in zip(getattr(net, name), stack.layers, strict=True):
            h = layer.norm1(x + attended(layer.self_attn, x, x))
            torch.testing.assert_close(mine(x), layer.norm2(h + layer.linear2(layer.linear1(h).relu())))
    for mine, layer in zip(net.decoder, theirs.decoder.layers, strict=True):
        h = layer.norm1(x + attended(layer.self_attn, x, memory))
        h = layer.norm2(h + attended(layer.multihead_attn, h, memory))
        torch.testing.assert_close(mine(x, memory), layer.norm3(h + layer.linear2(layer.linear1(h).relu())))
    torch.testing.assert_close(net.final_norm(x), theirs.decoder.norm(x))
    torch.testing.assert_close(net.cape.position(tokens), theirs.new_ps(tokens))


def test_what_is_missing_or_does_not_fit_is_said(released: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not the weights of this network.*width 512"):
        initial(Model(**{**FORM, "width": 32}, pretrained=f"file:{tmp_path}"), seed=0)
    (tmp_path / "decoder.pth").unlink()
    with pytest.raises(ValueError, match=r"0 files decoder\*\.pth"):
        initial(Model(**FORM, pretrained=f"file:{tmp_path}"), seed=0)
    with pytest.raises(ValueError, match="original's form"):
        Model(pretrained="file:x")
