"""Perceptual losses against their equations, and the frozen VGG against torchvision's layers written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from retable.bench.data import photos, weights
from retable.models.perceptual import Vgg, content_loss, convolve, gram_BCC, style_loss, total_variation
from retable.models.precision import cpu_has_bf16

TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
PLAIN = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "conv4_2": 19, "relu5_3": 29}
"""Layer -> its index in torchvision's `features`."""


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    """[1, 3, 64, 64] in [0, 255]: the centre of a photograph."""
    return torch.tensor(photos.load("astronaut")[100:164, 180:244].copy()).permute(2, 0, 1)[None].float()


def written_out(image: Tensor, last: int, dtype: torch.dtype = torch.float64) -> dict[int, Tensor]:
    """Index in torchvision's `features` -> output, for an image in [0, 255]."""
    state = {name: value.to(dtype) for name, value in weights.vgg16_state().items()}
    mean, std = (torch.tensor(v, dtype=dtype).view(3, 1, 1) for v in (weights.VGG16.mean, weights.VGG16.std))
    h = (image.to(dtype) / 255 - mean) / std
    outputs = {}
    for index in range(last + 1):
        if f"features.{index}.weight" in state:
            h = F.conv2d(h, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1)
        elif index in (4, 9, 16, 23):
            h = F.max_pool2d(h, 2)
        else:
            h = F.relu(h)
        outputs[index] = h
    return outputs


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b).norm() / b.norm())


def test_features_are_torchvisions_layers(astronaut: Tensor) -> None:
    expected = written_out(astronaut, 29)
    found = Vgg(list(PLAIN))(astronaut)
    assert list(found) == list(PLAIN)
    for layer, index in PLAIN.items():
        assert relative(found[layer], expected[index]) < 1e-5, layer


def test_feature_scale_of_the_shipped_weights(astronaut: Tensor) -> None:
    # Golden: other weights, another normalisation or another colour order would move these.
    means = [float(f.mean()) for f in Vgg(TAPS)(astronaut).values()]
    assert means == pytest.approx([1.9000, 3.6418, 4.9336, 0.7260], rel=1e-3)


def test_white_may_be_one_or_255(astronaut: Tensor) -> None:
    in_255 = Vgg(TAPS, maximum=255)(astronaut)
    in_1 = Vgg(TAPS, maximum=1)(astronaut / 255)
    for layer in TAPS:
        assert relative(in_1[layer], in_255[layer].double()) < 1e-5


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_a_factor_on_the_features_is_folded_in_exactly(astronaut: Tensor, factor: float) -> None:
    plain, scaled = Vgg(TAPS), Vgg(TAPS, features=factor)
    for layer in TAPS:
        assert relative(scaled(astronaut)[layer], factor * plain(astronaut)[layer].double()) < 1e-5
    assert scaled.network.scale == pytest.approx(plain.network.scale / factor)


def test_nothing_deeper_than_asked_is_computed(astronaut: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(h: Tensor, conv: object, *, relu: bool) -> Tensor:
        calls.append(h.shape)
        return convolve(h, conv, relu=relu)  # type: ignore[arg-type]

    vgg = Vgg(TAPS)
    monkeypatch.setattr("retable.models.perceptual.convolve", counted)
    assert list(vgg(astronaut, ["relu2_2"])) == ["relu2_2"]
    assert len(calls) == 4
    calls.clear()
    vgg(astronaut)
    assert len(calls) == 10


def test_gradients_reach_the_image_and_are_those_of_the_layers_written_out(astronaut: Tensor) -> None:
    ours, exact = astronaut.clone().requires_grad_(), astronaut.double().requires_grad_()
    sum(f.square().mean() for f in Vgg(TAPS)(ours).values()).backward()
    outputs = written_out(exact, 22)
    sum(outputs[PLAIN[layer]].square().mean() for layer in TAPS).backward()
    assert relative(ours.grad, exact.grad) < 1e-3  # max-pooling may choose another of two nearly equal neighbours


def test_targets_need_no_graph(astronaut: Tensor) -> None:
    assert not any(f.requires_grad for f in Vgg(TAPS)(astronaut).values())


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not multiply in bfloat16")
def test_bfloat16_is_close_and_losses_stay_float32(astronaut: Tensor) -> None:
    fp32, bf16 = Vgg(TAPS)(astronaut), Vgg(TAPS, dtype=torch.bfloat16)(astronaut)
    for layer in TAPS:
        assert bf16[layer].dtype == torch.bfloat16
        assert relative(bf16[layer], fp32[layer].double()) < 0.02, layer
        assert gram_BCC(bf16[layer]).dtype == torch.float32
    assert content_loss(bf16["relu2_2"], fp32["relu2_2"]).dtype == torch.float32
    target = {layer: 0.5 * gram_BCC(f) for layer, f in fp32.items()}
    assert float(style_loss(bf16, target)) == pytest.approx(float(style_loss(fp32, target)), rel=0.05)


def test_weights_are_laid_out_once_for_all_who_ask() -> None:
    assert Vgg(TAPS)._weights is Vgg(["relu2_2"])._weights


def test_who_measured_is_on_record() -> None:
    network = Vgg(["relu2_2"]).network
    assert network.source == "file"
    assert network.sha256 == weights.VGG16.sha256
    assert network.scale == 57.63
    assert network.as_dict()["depth"] == 16


def test_vgg19_layers_stand_for_the_files_vgg16_ones(astronaut: Tensor) -> None:
    vgg = Vgg(["relu4_3", "relu4_4", "conv4_2"], depth=19)
    assert vgg.network.mapped == {"relu4_4": "relu4_3"}
    found = vgg(astronaut)
    assert torch.equal(found["relu4_4"], found["relu4_3"])
    assert "conv4_2" in found


@pytest.mark.parametrize(
    ("layer", "message"), [("relu2_3", "VGG-16 has no layer 'relu2_3'; did you mean"), ("fc7", "has no layer 'fc7'")]
)
def test_an_unknown_layer_is_named_with_the_nearest(layer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vgg([layer])


def test_no_layer_is_an_error() -> None:
    with pytest.raises(ValueError, match="name at least one"):
        Vgg([])
    with pytest.raises(ValueError, match="at least one"):
        style_loss({}, {})


features = arrays.arrays(
    np.float64, st.tuples(*(st.integers(1, 4) for _ in range(4))), elements=st.floats(-4, 4, width=32)
)


@given(features)
@settings(max_examples=50, deadline=None)
def test_gram_matrix_is_equation_2_3(array: np.ndarray) -> None:
    _, c, h, w = array.shape
    expected = np.einsum("nchw,ndhw->ncd", array, array) / (c * h * w)
    gram = gram_BCC(torch.tensor(array)).numpy()
    np.testing.assert_allclose(gram, expected, atol=1e-5)
    np.testing.assert_array_equal(gram, gram.transpose(0, 2, 1))


@given(features, st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_style_loss_is_autograds_value_and_gradient(array: np.ndarray, seed: int) -> None:
    b, c, h, w = array.shape
    root = np.random.default_rng(seed).normal(size=(1, c, c))
    target = torch.tensor(root + root.transpose(0, 2, 1))
    ours, plain = (torch.tensor(array, requires_grad=True) for _ in range(2))
    loss = style_loss({"a": ours}, {"a": target})
    loss.backward()
    flat = plain.reshape(b, c, h * w)
    expected = (flat.bmm(flat.transpose(1, 2)) / (c * h * w) - target).square().mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-9)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-5, atol=1e-7)


def test_reductions_of_the_style_loss() -> None:
    torch.manual_seed(0)
    f = {"a": torch.rand(2, 3, 4, 4), "b": torch.rand(2, 5, 2, 2)}
    targets = {"a": torch.rand(1, 3, 3), "b": torch.rand(1, 5, 5)}
    errors = {k: (gram_BCC(f[k]) - targets[k]).square().sum((1, 2)).mean() for k in f}
    assert float(style_loss(f, targets, "frobenius")) == pytest.approx(float(sum(errors.values())), rel=1e-5)
    assert float(style_loss(f, targets, "mean")) == pytest.approx(float(errors["a"] / 9 + errors["b"] / 25), rel=1e-5)


def test_losses_are_zero_for_the_target_itself(astronaut: Tensor) -> None:
    f = Vgg(TAPS)(astronaut)
    assert float(content_loss(f["relu2_2"], f["relu2_2"])) == 0
    assert float(style_loss(f, {layer: gram_BCC(f[layer]) for layer in TAPS})) == pytest.approx(0, abs=1e-9)


def test_content_loss_is_equation_2_2() -> None:
    a, b = torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5)
    assert float(content_loss(a, b)) == pytest.approx(float((a - b).norm() ** 2 / (3 * 4 * 5)), rel=1e-5)


def test_total_variation_of_a_ramp_and_of_nothing() -> None:
    ramp = torch.arange(5.0).expand(1, 1, 4, 5)
    assert float(total_variation(ramp)) == 1.0
    assert float(total_variation(torch.full((1, 3, 4, 4), 7.0))) == 0.0
