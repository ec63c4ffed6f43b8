"""FANet, its decoder and its rivals: published sizes, shapes, switches, timm's and smp's doors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from retable.bench.task import Context
from retable.models.fanet import Classification, Cost, Supervised, cost, networks
from retable.models.fanet.backbone import FANet, Shape
from retable.models.fanet.blocks import ConvMLP, LayerNorm, Pointwise, Refinement
from retable.models.fanet.upernet import Segmenter, UPerHead

TINY = Shape(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1), stem_stride=2, drop_path=0.0, init="fan_in")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_classifier_has_the_published_parameters_and_operations() -> None:
    """Tables 3 and 4: 36.7 M, 5.8 G."""
    with torch.device("meta"):
        net = FANet(classes=1000)
    assert count(net) == 36_721_864
    assert networks.macs(net, 224, 224) == pytest.approx(5.800459, abs=1e-6)


@pytest.mark.parametrize(
    ("switches", "parameters", "macs"),
    [
        ({"scm": "off", "frm": "off"}, 23_429_376, 3.735277),
        ({"scm": "off", "frm": "off", "bare": "projected"}, 25_893_792, 4.139896),
        ({"scm": "7x7", "frm": "off"}, 33_409_152, 5.379043),
        ({"scm": "off", "frm": "high"}, 26_566_272, 4.249968),
        ({"scm": "off", "frm": "low"}, 26_566_272, 4.249968),
        ({"scm": "off", "frm": "both"}, 27_210_240, 4.358235),
        ({"scm": "7x7", "frm": "both"}, 35_951_328, 5.799691),
        ({"scm": "3x3", "frm": "off"}, 27_280_512, 4.367495),
        ({"scm": "depthwise", "frm": "off"}, 26_028_576, 4.178620),
    ],
)
def test_the_rows_of_table_2_have_their_sizes(switches: dict[str, str], parameters: int, macs: float) -> None:
    with torch.device("meta"):
        net = FANet(Shape(**switches))  # type: ignore[arg-type]
    assert count(net) == parameters
    assert networks.macs(net, 224, 224) == pytest.approx(macs, abs=1e-6)


def test_the_dense_3x3_control_comes_close_to_the_7x7_in_parameters() -> None:
    with torch.device("meta"):
        large, control = FANet(Shape(frm="off")), FANet(Shape(scm="3x3-dense", frm="off"))
    assert 0.9 < count(control) / count(large) < 1


def test_the_segmenter_has_the_operations_of_the_released_one() -> None:
    with torch.device("meta"):
        net = Segmenter(FANet(), Shape.widths, 5)
    assert net.auxiliary is not None
    assert count(net) - count(net.auxiliary) == 45_174_757
    assert count(net.auxiliary) == 886_533
    assert networks.macs(net, 512, 512) == pytest.approx(83.430982, abs=1e-6)


@pytest.mark.parametrize(
    ("network", "parameters", "macs"),
    [("fanet", 36.7, 5.8), ("focalnet_tiny", 28.6, 4.5), ("focalnet_base", 88.7, 15.4)],
)
def test_the_cost_task_gives_the_columns_of_tables_3_and_4(network: str, parameters: float, macs: float) -> None:
    found = cost.make(Cost(network=network), Context("cpu", 0)).evaluate().metrics  # type: ignore[arg-type]
    assert found["cost/parameters"] == pytest.approx(parameters, abs=0.05)
    assert found["cost/macs"] == pytest.approx(macs, abs=0.05)


def test_our_focalnet_is_timms() -> None:
    networks.focalnet(Classification(network="focalnet_tiny", epochs=1, batch_size=2, lr=1e-3), 10)
    import timm

    ours = networks.focalnet(Classification(network="focalnet_tiny", epochs=1, batch_size=2, lr=1e-3), 1000)
    theirs = timm.create_model("focalnet_tiny_lrf")
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


@given(st.integers(33, 70), st.integers(33, 70), st.sampled_from(["off", "7x7", "3x3", "3x3-dense", "depthwise"]))
@settings(max_examples=12, deadline=None)
def test_any_size_of_image_gives_stages_at_strides_of_two(height: int, width: int, scm: str) -> None:
    net = FANet(Shape(widths=(8, 16, 24, 32), depths=(1, 1, 1, 1), scm=scm)).eval()  # type: ignore[arg-type]
    sizes = [tuple(f.shape) for f in net.stage_features(torch.randn(2, 3, height, width))]
    h, w = (height - 1) // 4 + 1, (width - 1) // 4 + 1
    for (b, c, fh, fw), channels in zip(sizes, (8, 16, 24, 32), strict=True):
        assert (b, c, fh, fw) == (2, channels, h, w)
        h, w = (h + 1) // 2, (w + 1) // 2


def test_the_refinement_splits_a_constant_into_nothing_and_its_square() -> None:
    """With an averaging kernel P and Q are F itself inside: R = F - Q = 0, S = F * Q."""
    module = Refinement(1, "both")
    with torch.no_grad():
        module.smooth.weight.fill_(1 / 9)
        module.smooth.bias.zero_()  # type: ignore[union-attr]
    high, low = module.split(torch.full((1, 1, 16, 16), 3.0))
    assert torch.allclose(high[..., 4:-4, 4:-4], torch.zeros(()), atol=1e-6)
    assert torch.allclose(low[..., 4:-4, 4:-4], torch.tensor(9.0))


def test_fast_forms_are_the_textbook_ones() -> None:
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    norm = LayerNorm(6).double()
    nn.init.normal_(norm.weight)
    mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    direct = (x - mean) / (var + 1e-6).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(norm(x), direct)
    conv = Pointwise(6, 4).double()
    assert torch.allclose(conv(x), F.conv2d(x, conv.weight, conv.bias))
    assert norm(x).is_contiguous(memory_format=torch.channels_last)


def test_conv_mlp_is_residual_at_its_width() -> None:
    mlp = ConvMLP(4, 4)
    with torch.no_grad():
        mlp.conv.weight.zero_()
        mlp.conv.bias.zero_()  # type: ignore[union-attr]
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(mlp(x), mlp.narrow(F.gelu(mlp.widen(x))), atol=1e-6)


def test_stochastic_depth_acts_in_training_alone() -> None:
    net = FANet(Shape(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1), stem_stride=2, drop_path=0.9, init="fan_in"))
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.eval()(x), net.eval()(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_initialisations_differ_as_their_words_say() -> None:
    torch.manual_seed(0)
    assert float(FANet(Shape(init="trunc02")).stem.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(FANet(Shape(init="fan_in")).stem.weight.detach().std()) == pytest.approx((1 / 3 / 75) ** 0.5, rel=0.1)


def test_timm_knows_fanet_and_smp_puts_a_decoder_on_it() -> None:
    from retable.models.fanet import timm_models  # noqa: F401

    import segmentation_models_pytorch as smp  # isort: skip
    import timm  # isort: skip

    small = {"widths": (8, 16, 24, 32), "depths": (1, 1, 1, 1)}
    net = timm.create_model("fanet_tiny", num_classes=7, **small)
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    features = timm.create_model("fanet_tiny", features_only=True, out_indices=(1, 2), **small)
    assert features.feature_info.channels() == [16, 24]
    assert features.feature_info.reduction() == [8, 16]
    assert [f.shape[1:] for f in features(torch.randn(1, 3, 64, 64))] == [(16, 8, 8), (24, 4, 4)]
    assert not any(name.startswith("model.stages.3") for name, _ in features.named_parameters())
    decoded = smp.UPerNet("tu-fanet_tiny", encoder_weights=None, classes=5, decoder_channels=8, **small)
    assert decoded.eval()(torch.randn(1, 3, 64, 64)).shape == (1, 5, 64, 64)
    with pytest.raises(TypeError, match="no setting 'style'"):
        timm.create_model("fanet_tiny", style="pytorch")
    with pytest.raises(ValueError, match="NCHW"):
        net.forward_intermediates(torch.randn(1, 3, 64, 64), output_fmt="NHWC")


def test_upernet_takes_any_strides_and_is_as_fine_as_its_first() -> None:
    head = UPerHead((4, 6, 8), classes=3, channels=8).eval()
    features = [torch.randn(1, 4, 17, 23), torch.randn(1, 6, 9, 12), torch.randn(1, 8, 5, 6)]
    assert head(features).shape == (1, 3, 17, 23)


def supervised(**more: object) -> Supervised:
    small = {"widths": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "decoder_channels": 8, "auxiliary_channels": 8}
    words = {"data": "clutter", "steps": 1, "batch_size": 2, "lr": 1e-3, **small, "encoder": "test_resnet", **more}
    return Supervised.model_validate(words)


@pytest.mark.parametrize("network", ["fanet", "focalnet_tiny", "focalnet_base", "deeplabv3plus"])
def test_every_segmenter_gives_scores_per_pixel(network: str) -> None:
    net = networks.segmenter(supervised(network=network), 5).eval()
    assert net(torch.randn(1, 3, 64, 96)).shape == (1, 5, 64, 96)


@pytest.mark.parametrize("stride", [2, 4])
def test_rows_see_one_resolution(stride: int) -> None:
    x = torch.randn(1, 3, 64, 64)
    shapes = [
        [tuple(f.shape[-2:]) for f in networks.segmenter(supervised(network=n, stem_stride=stride), 5).features(x)]
        for n in ("fanet", "focalnet_tiny")
    ]
    assert shapes[0] == shapes[1] == [(64 // stride // 2**i,) * 2 for i in range(4)]


@pytest.mark.parametrize(
    ("pretrained", "segmenter"),
    [
        ({"network": "fanet"}, {"network": "fanet"}),
        ({"network": "focalnet_tiny"}, {"network": "focalnet_tiny"}),
        ({"network": "resnet", "encoder": "test_resnet"}, {"network": "deeplabv3plus"}),
    ],
)
def test_a_pretrained_classifier_starts_a_segmenter(pretrained: dict[str, str], segmenter: dict[str, str]) -> None:
    small = {"widths": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "epochs": 1, "batch_size": 2, "lr": 1e-3}
    source = networks.classifier(Classification.model_validate({**small, **pretrained}), 7)
    target = networks.segmenter(supervised(**segmenter), 5)
    networks.load_backbone(target, {"backbone": source.state_dict()})
    loaded = source.state_dict()
    backbone = {k: v for k, v in target.state_dict().items() if k.startswith(("backbone.", "encoder."))}
    names = [(k, name) for name in backbone for k in loaded if name.split(".", 1)[1] in (k, f"net.{k}", f"model.{k}")]
    assert len(names) == len(backbone)
    assert all(torch.equal(loaded[k], backbone[name]) for k, name in names)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["fanet", "focalnet_tiny", "deeplabv3plus"])
def test_compiled_parts_are_the_same_network_by_the_same_names(network: str) -> None:
    net = networks.segmenter(supervised(network=network), 5).eval()
    x, names = torch.randn(1, 3, 32, 32), list(net.state_dict())
    before = net(x)
    networks.compile_parts(net, backend="eager")
    assert torch.allclose(net(x), before, atol=1e-5)
    assert list(net.state_dict()) == names


def test_weights_of_another_network_are_refused_in_words() -> None:
    wrong = FANet(Shape(widths=(8, 16, 24, 32), depths=(1, 1, 1, 1), frm="off"))
    with pytest.raises(ValueError, match="another network"):
        networks.load_backbone(networks.segmenter(supervised(), 5), {"backbone": wrong.state_dict()})


def test_settings_that_make_no_network_are_refused() -> None:
    with pytest.raises(ValueError, match="one number per stage"):
        supervised(depths=(1, 1))
    with pytest.raises(ValueError, match="multiples of 8"):
        supervised(widths=(10, 20, 30, 40))
