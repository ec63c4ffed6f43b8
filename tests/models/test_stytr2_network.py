"""The generator: sizes of the published network, layers that are torch's, one pass that is four."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retable.models.stytr2 import Model
from retable.models.stytr2.network import Generator, PixelDecoder, PositionalEncoding, initial
from retable.models.stytr2.transformer import Attention, DecoderLayer, EncoderLayer

ORIGINAL: dict[str, Any] = {
    "embedding": "shared",
    "norm": "post",
    "cape": "attention",
    "decoder_attention": "memory",
    "init": "xavier",
}
SMALL: dict[str, Any] = {
    "size": 32,
    "patch": 4,
    "width": 16,
    "heads": 2,
    "ffn": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "pool": 3,
    "dropout": 0.0,
}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_published_size() -> None:
    with torch.device("meta"):
        net = Generator(Model())
    assert count(net.content_patches) == count(net.style_patches) == 98_816
    assert [count(layer) for layer in net.content_encoder] == 3 * [3_152_384]
    assert [count(layer) for layer in net.style_encoder] == 3 * [3_152_384]
    assert [count(layer) for layer in net.decoder] == 3 * [4_204_032]
    assert count(net.cape) == 262_656
    assert count(net.pixels) == 3_505_219
    assert count(net) == 35_492_931


def test_the_originals_form_has_one_embedding_less() -> None:
    with torch.device("meta"):
        assert count(Generator(Model(**ORIGINAL))) == 35_492_931 - 98_816


def test_shapes_of_the_published_size() -> None:
    with torch.device("meta"):
        net = Generator(Model())
        image = torch.empty(1, 3, 256, 256)
        code = net.encode_content(image)
        assert code.grid == (32, 32)
        assert code.tokens_BND.shape == code.position_BND.shape == (1, 1024, 512)
        assert net.encode_style(image).shape == (1, 1024, 512)
        assert net(image, image).shape == (1, 3, 256, 256)
        assert net.outputs(torch.empty(4, 3, 256, 256), reverse=True).shape == (8, 3, 256, 256)


def test_channels_of_the_pixel_decoder() -> None:
    convolutions = [m for m in PixelDecoder(512, 8) if isinstance(m, nn.Conv2d)]
    assert [c.in_channels for c in convolutions] == [512, 256, 256, 256, 256, 128, 128, 64, 64]
    assert [c.out_channels for c in convolutions] == [256, 256, 256, 256, 128, 128, 64, 64, 3]


@pytest.mark.parametrize("patch", [2, 4, 8, 16])
def test_images_of_any_shape_that_patches_divide(patch: int) -> None:
    net = Generator(Model(**{**SMALL, "patch": patch}))
    assert net(torch.rand(1, 3, 48, 32), torch.rand(1, 3, 48, 32)).shape == (1, 3, 48, 32)


def _copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        ours.inner.weight.copy_(theirs.in_proj_weight)
        ours.inner.bias.copy_(theirs.in_proj_bias)
        ours.outer.weight.copy_(theirs.out_proj.weight)
        ours.outer.bias.copy_(theirs.out_proj.bias)


def _copy(ours: nn.Module, theirs: Any) -> None:
    for name in ("norm1", "norm2", "norm3"):
        if hasattr(theirs, name):
            getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())
    ours.ffn.inner.load_state_dict(theirs.linear1.state_dict())  # type: ignore[union-attr,arg-type]
    ours.ffn.outer.load_state_dict(theirs.linear2.state_dict())  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_encoder_layer_is_torchs(norm: Any) -> None:
    theirs = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm == "pre")
    ours = EncoderLayer(16, 4, 32, 0.0, norm)
    _copy(ours, theirs)
    _copy_attention(ours.attention, theirs.self_attn)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_decoder_layer_is_torchs(norm: Any) -> None:
    theirs = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm == "pre")
    ours = DecoderLayer(16, 4, 32, 0.0, norm, "self")
    _copy(ours, theirs)
    _copy_attention(ours.attention1, theirs.self_attn)
    _copy_attention(ours.attention2, theirs.multihead_attn)
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    torch.testing.assert_close(ours(x, memory), theirs(x, memory))


def _formula(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Equation 4, head by head."""
    width = q.shape[-1]
    (wq, wk, wv), (bq, bk, bv) = attention.inner.weight.split(width), attention.inner.bias.split(width)
    heads = []
    for head in range(attention.heads):
        rows = slice(head * width // attention.heads, (head + 1) * width // attention.heads)
        Q, K, V = q @ wq[rows].T + bq[rows], k @ wk[rows].T + bk[rows], v @ wv[rows].T + bv[rows]
        heads.append(torch.softmax(Q @ K.transpose(-1, -2) / Q.shape[-1] ** 0.5, -1) @ V)
    return attention.outer(torch.cat(heads, -1))  # type: ignore[no-any-return]


def test_equation_4_whichever_inputs_are_shared() -> None:
    attention = Attention(16, 4, 0.0)
    x, y, z = torch.randn(3, 2, 6, 16)
    for q, k, v in ((x, x, x), (x, x, z), (x, y, y)):
        torch.testing.assert_close(attention(q, k, v), _formula(attention, q, k, v))


def test_bfloat16_attention_on_a_cpu_is_the_same_attention() -> None:
    attention = Attention(32, 2, 0.0)
    x = torch.randn(2, 6, 32)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention(x, x, x)
    torch.testing.assert_close(half.float(), attention(x, x, x), rtol=0.03, atol=0.03)


def test_the_originals_layers_add_positions_to_queries_and_keys_only() -> None:
    encoder = EncoderLayer(16, 4, 32, 0.0, "post")
    x, position, memory = torch.randn(3, 1, 6, 16)
    h = encoder.norm1(x + _formula(encoder.attention, x + position, x + position, x))
    torch.testing.assert_close(encoder(x, position), encoder.norm2(h + encoder.ffn(h)))

    # Both attentions of the original's decoder layer read the style.
    decoder = DecoderLayer(16, 4, 32, 0.0, "post", "memory")
    h = decoder.norm1(x + _formula(decoder.attention1, x + position, memory, memory))
    h = decoder.norm2(h + _formula(decoder.attention2, h + position, memory, memory))
    torch.testing.assert_close(decoder(x, memory, position), decoder.norm3(h + decoder.ffn(h)))


def test_equation_2_pools_to_n_by_n_and_interpolates_between_the_centres() -> None:
    cape = PositionalEncoding(1, 2)
    with torch.no_grad():
        cape.position.weight.fill_(2.0)
        cape.position.bias.fill_(1.0)  # type: ignore[union-attr]
        embedding = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [8, 8, 4, 4], [8, 8, 4, 4]])[None, None]
        got = cape(embedding)[0, 0]
    # Averages of the quarters 0, 4, 8, 4 become 1, 9, 17, 9; a border token lies outside the quarters' centres.
    expected_top = torch.tensor([1.0, 3, 7, 9])
    torch.testing.assert_close(got[0], expected_top)
    torch.testing.assert_close(got[3], torch.tensor([17.0, 15, 11, 9]))
    torch.testing.assert_close(got[1], 0.75 * got[0] + 0.25 * got[3])


@pytest.mark.parametrize("form", [{}, ORIGINAL], ids=["paper", "original"])
def test_one_pass_makes_the_four_outputs_of_equations_8_to_11(form: dict[str, Any]) -> None:
    net = initial(Model(**{**SMALL, **form}), seed=1)
    content, style = torch.rand(2, 2, 3, 32, 32)
    together = net.outputs(torch.cat([content, style]), reverse=True)
    apart = [net(content, content), net(style, style), net(content, style), net(style, content)]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.outputs(torch.cat([content, style]), reverse=False), together[:6])


def test_positions_enter_twice_in_the_papers_form() -> None:
    net = initial(Model(**SMALL), seed=0).eval()
    image = torch.rand(1, 3, 32, 32)
    code = net.encode_content(image)
    tokens = net.content_patches(image).flatten(2).transpose(1, 2)
    h = tokens + code.position_BND
    for layer in net.content_encoder:
        h = layer(h)
    torch.testing.assert_close(code.tokens_BND, h)
    q = h + code.position_BND
    memory = net.encode_style(image)
    for layer in net.decoder:
        q = layer(q, memory)
    image_out = net.pixels(net.final_norm(q).transpose(1, 2).unflatten(2, (8, 8)))
    torch.testing.assert_close(net(image, image), image_out)


@pytest.mark.parametrize(("init", "alike"), [("torch", False), ("released", True), ("xavier", False)])
def test_a_released_stack_starts_as_copies_of_one_layer(init: str, alike: bool) -> None:
    net = initial(Model(**{**SMALL, "init": init}), seed=1)
    for stack in (net.content_encoder, net.style_encoder, net.decoder):
        first, second = (layer.ffn.inner.weight for layer in stack)  # type: ignore[union-attr]
        assert torch.equal(first, second) == alike
    assert not torch.equal(net.content_encoder[0].ffn.inner.weight, net.style_encoder[0].ffn.inner.weight)  # type: ignore[union-attr]


def test_the_originals_start_leaves_the_positions_as_torch_draws_them() -> None:
    plain, xavier = (initial(Model(**{**SMALL, "init": init}), seed=1) for init in ("torch", "xavier"))
    assert torch.equal(plain.cape.position.weight, xavier.cape.position.weight)
    weight = xavier.content_encoder[0].ffn.inner.weight  # type: ignore[union-attr]
    bound = (6 / (16 + 32)) ** 0.5
    assert 0.9 * bound < weight.abs().max() <= bound


def test_a_centred_start_sees_pixels_less_grey_and_gives_grey() -> None:
    plain, centred = (initial(Model(**{**SMALL, "patches": patches}), seed=1) for patches in ("raw", "centred"))
    image = torch.rand(1, 3, 32, 32)
    for name in ("content_patches", "style_patches"):
        before, after = getattr(plain, name), getattr(centred, name)
        expected = 4 * (before(image - 0.5) - before.bias[:, None, None]) + before.bias[:, None, None]
        torch.testing.assert_close(after(image), expected, rtol=1e-4, atol=1e-5)
    assert abs(centred(image, image).mean() - 0.5) < abs(plain(image, image).mean() - 0.5)


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a = initial(Model(**SMALL), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    b, c = initial(Model(**SMALL), seed=3), initial(Model(**SMALL), seed=4)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.pixels[0].weight, c.pixels[0].weight)
