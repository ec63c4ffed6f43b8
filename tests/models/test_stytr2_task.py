"""Training with and without a separability loss, through the Task interface."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from retable.bench.run.training import Hooks, pack, run, seed_all, unpack
from retable.bench.task import Context, Evaluation, find_task, load
from retable.models.stytr2 import LAYERS, TAPS, TASKS, Comparison, Reference, Training
from retable.models.stytr2.pairs import ComparisonTask
from retable.models.stytr2.references import ReferenceTask
from retable.models.stytr2.separability import Seen
from retable.models.stytr2.task import TrainingTask

TINY: dict[str, Any] = {
    "contents": 6,
    "styles": 4,
    "size": 32,
    "pairs_per_content": 4,
    "validation_pairs": 3,
    "patch": 4,
    "width": 16,
    "heads": 2,
    "ffn": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "pool": 3,
    "dropout": 0.1,
    "taps": "original",
    "measured_taps": "original",
    "normalise": True,
    "features": 0.1,
}
RUN: dict[str, Any] = {"batch_size": 2, "lr": 5e-3, "warmup_steps": 4, "validate_every": 2, "clip": 5.0}
MODELS: dict[str, dict[str, Any]] = {
    "none": {"separability": "none"},
    "content": {"separability": "content", "separability_weight": 10.0, "margin": 2.0},
    "full": {"separability": "full", "separability_weight": 1.0, "margin": 3.0},
}


def task(model: str = "none", steps: int = 4, start: Any = None, seed: int = 0, **more: Any) -> TrainingTask:
    seed_all(seed, "trial")
    settings = Training(**{**TINY, **RUN, "steps": steps, **MODELS[model], **more})
    return TrainingTask(settings, Context("cpu", seed, start))


def trained(made: TrainingTask) -> Evaluation:
    for index in range(made.steps):
        made.step(index)
    return made.evaluate()


@pytest.fixture(scope="module")
def baseline() -> Evaluation:
    return trained(task())


@pytest.fixture(scope="module")
def separated(baseline: Evaluation) -> Evaluation:
    return trained(task("full", start=baseline.model))


@pytest.mark.parametrize("model", list(MODELS))
def test_equation_12_is_the_weighted_sum_of_the_terms(model: str) -> None:
    losses = {k.removeprefix("loss/"): float(v) for k, v in task(model).step(0).items() if k.startswith("loss/")}
    base = 10 * losses["content"] + 7 * losses["style"] + 70 * losses["id1"] + losses["id2"]
    assert losses["base"] == pytest.approx(base, rel=1e-5)
    extra = MODELS[model].get("separability_weight", 0) * losses.get("separability", 0)
    assert losses["total"] == pytest.approx(base + extra, rel=1e-5)
    assert (model == "none") == ("separability" not in losses)


@pytest.mark.parametrize("model", list(MODELS))
def test_every_metric_is_declared_and_finite(model: str, baseline: Evaluation) -> None:
    made = task(model, steps=2, start=baseline.model if model != "none" else None)
    values = {**made.step(0), **made.step(1)}
    evaluation = made.evaluate()
    declared = find_task("stytr2").metrics
    assert set(values) | set(evaluation.metrics) <= set(declared)
    assert all(math.isfinite(float(v)) for v in [*values.values(), *evaluation.metrics.values()])
    assert not any(v.requires_grad for v in values.values())


def test_hinges_are_logged_per_layer_and_summed_up_at_the_end() -> None:
    made = task("full", steps=3)
    seen = [made.step(i) for i in range(3)]
    for layer in TAPS["original"]:
        assert {
            f"{kind}/{layer}" for kind in ("hinge/content", "hinge/stats", "distance/content", "distance/stats")
        } <= set(seen[0])
        mean = np.mean([float(step[f"hinge/stats/{layer}"]) for step in seen])
        assert made.evaluate().metrics[f"activity/stats/{layer}"] == pytest.approx(mean)
    # An untrained decoder ignores what it is given: I_o and I_r agree, and every hinge is active.
    assert all(float(seen[0][f"hinge/{kind}/{tap}"]) == 1 for kind in ("content", "stats") for tap in TAPS["original"])
    assert made.evaluate().metrics["hinge/last_step"] == 3


def test_hinges_over_the_training_are_kept_as_arrays_for_a_figure() -> None:
    made = task("full", steps=3)
    seen = [made.step(i) for i in range(3)]
    curves = made.evaluate().arrays["hinges"]
    assert curves["step"].tolist() == [1, 2, 3]
    assert curves["stats_active"].shape == curves["content_distance"].shape == (5, 3)
    for row, layer in enumerate(TAPS["original"]):
        logged = [float(step[f"distance/content/{layer}"]) ** 0.5 for step in seen]
        np.testing.assert_allclose(curves["content_distance"][row], logged, rtol=1e-5)
    assert "hinges" not in trained(task("none", steps=1)).arrays
    assert "stats_active" not in trained(task("content", steps=1)).arrays["hinges"]


def test_a_margin_of_zero_changes_nothing() -> None:
    """With no active hinge the three models are one, step by step."""
    plain, zero = task(dropout=0.0), task("full", margin=0.0, dropout=0.0)
    for index in range(3):
        a, b = plain.step(index), zero.step(index)
        assert float(b["loss/separability"]) == 0
        assert float(a["loss/base"]) == pytest.approx(float(b["loss/base"]), rel=1e-3)
    assert zero.evaluate().metrics["hinge/stats"] == 0


def test_an_active_hinge_pushes_the_outputs_apart() -> None:
    def apart(model: str) -> float:
        made = task(model, steps=6, dropout=0.0, schedule="constant")
        for index in range(6):
            made.step(index)
        with torch.no_grad():
            images, _ = made._batch(0)
            o, r = made.net.outputs(images, reverse=True).chunk(4)[2:]
        return float((o - r).square().mean())

    assert apart("content") > 1.2 * apart("none")


@pytest.mark.parametrize(
    "more", [{}, {"schedule": "plateau", "keep": "best", "plateau_patience": 1, "augment": "crop"}]
)
def test_a_resumed_trial_is_bit_for_bit_the_uninterrupted_one(more: dict[str, Any]) -> None:
    hooks = Hooks(log=lambda *_: None, checkpoint=lambda *_: None)
    whole = task("full", steps=5, **more)
    run(whole, hooks, "validation/score")

    broken = task("full", steps=5, **more)
    broken.steps = 3  # as if it had been killed there
    progress = run(broken, hooks, "validation/score").progress
    saved = pack(broken, progress)
    again = task("full", steps=5, seed=1, **more)
    again.seed = 0
    run(again, hooks, "validation/score", unpack(saved, again))

    a, b = whole.evaluate(), again.evaluate()
    assert a.metrics == b.metrics
    assert all(torch.equal(x, b.model["network"][name]) for name, x in a.model["network"].items())


def test_measuring_changes_nothing() -> None:
    made = task("content", steps=2, keep="best")
    made.step(0)
    before = {k: v.clone() for k, v in made.net.state_dict().items()}
    rng = torch.get_rng_state()
    first, second = made.evaluate(), made.evaluate()
    assert first.metrics == second.metrics
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(v, before[k]) for k, v in made.net.state_dict().items())
    assert made.net.training


def test_two_trials_of_a_seed_start_alike_whatever_their_loss() -> None:
    a, b = task("none"), task("full")
    assert float(a.step(0)["validation/total"]) == float(b.step(0)["validation/total"])


def test_the_best_weights_are_kept_when_asked_for() -> None:
    made = task(steps=6, lr=0.5, schedule="constant", clip=0.0, keep="best")  # a rate that ruins it
    evaluation = trained(made)
    assert evaluation.metrics["validation/total"] == pytest.approx(min(t for _, t in made.history), rel=1e-5)
    assert evaluation.metrics["validation/total"] < made.history[-1][1]


def test_convergence_is_held_against_the_baseline(baseline: Evaluation, separated: Evaluation) -> None:
    assert baseline.metrics["convergence/steps"] <= 4
    assert separated.model["reference"]["level"] == baseline.metrics["convergence/level"]
    easy = {"network": baseline.model["network"], "level": 1e9}
    never = {"network": baseline.model["network"], "level": 0.0}
    assert trained(task("full", start=easy)).metrics["convergence/steps"] == 0
    assert trained(task("full", start=never)).metrics["convergence/steps"] == 5


def test_a_trial_that_starts_from_the_baseline_trains_afresh(baseline: Evaluation) -> None:
    a, b = task("full"), task("full", start=baseline.model)
    assert all(torch.equal(x, y) for x, y in zip(a.net.parameters(), b.net.parameters(), strict=True))


def test_losses_are_reported_alike_whatever_they_were_trained_with(baseline: Evaluation) -> None:
    plain = task().step(0)
    other = task(content_norm="l1", style_norm="l1", id1_norm="l1", id2_norm="l1", taps="paper").step(0)
    assert float(plain["validation/score"]) == pytest.approx(float(other["validation/score"]), rel=1e-4)
    assert float(plain["loss/content"]) != pytest.approx(float(other["loss/content"]), rel=0.01)


def test_kept_features_are_those_of_the_batch() -> None:
    kept, fresh = task(), task()
    assert kept.targets.kept is not None
    fresh.targets.kept = None
    (a, fa), (b, fb) = kept._batch(1), fresh._batch(1)
    assert torch.equal(a, b)
    for layer in TAPS["original"]:
        torch.testing.assert_close(fa[layer], fb[layer], rtol=1e-3, atol=1e-3)


def test_pictures_for_the_papers_figures(baseline: Evaluation) -> None:
    assert set(baseline.images) == {"contents", "styles", "stylised", "reversal"}
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in baseline.images.values())
    assert baseline.images["contents"].shape == baseline.images["stylised"].shape
    assert baseline.images["reversal"].shape[:2] == (3 * 128 + 4, 4 * 128 + 6)  # three rows of I_c, I_s, I_o, I_r


@pytest.mark.parametrize("model", list(MODELS))
def test_every_term_is_the_same_in_bfloat16_to_a_per_cent(model: str) -> None:
    """At the start too, where I_o and I_r are nearly equal and rounding would pass for a distance."""
    more = {"width": 32, "patches": "centred", "init": "released", "taps": "small", "dropout": 0.0}
    full, half = (task(model, precision=p, **more) for p in ("fp32", "bf16"))
    for index in range(2):
        exact, rounded = (made.losses(*made._batch(index)) for made in (full, half))
        for name in ("content", "style", "id1", "id2", "total"):
            assert getattr(rounded, name).item() == pytest.approx(getattr(exact, name).item(), rel=0.01), name
        if exact.hinges is not None and rounded.hinges is not None:
            assert exact.hinges.loss.item() > 0
            assert rounded.hinges.loss.item() == pytest.approx(exact.hinges.loss.item(), rel=0.01)


class Plain(torch.optim.Optimizer):
    """Gradient descent with a rate on the device; torch has no fused Adam for the meta device."""

    def step(self, closure: Any = None) -> None:
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * p.grad)


@pytest.mark.parametrize("schedule", ["equation13", "continuous", "cosine", "plateau", "constant"])
def test_a_step_neither_leaves_its_device_nor_waits_for_it(schedule: str) -> None:
    """On torch's meta device a value that is read, or a tensor of another device among the step's, is an error."""
    settings = Training(**{**TINY, **RUN, **MODELS["full"], "steps": 2, "validate_every": 0, "schedule": schedule})
    made = TrainingTask(settings, Context("meta", 0))
    made.optimizer = Plain(made.net.parameters(), {})
    for index in range(2):
        values = torch.stack([value.float() for value in made.step(index).values()])
        assert values.device.type == "meta"


def apart(seen: Seen, settings: Training) -> torch.Tensor:
    """A third separability loss, as somebody else would write it: the deepest layer's cosine similarity."""
    o, r = (f[TAPS[settings.taps][-1]].flatten(1) for f in (seen.output, seen.reverse))
    return torch.nn.functional.cosine_similarity(o, r).mean()


def test_a_loss_of_ones_own_is_a_function_and_a_word() -> None:
    made = task(separability=f"{__name__}:apart", separability_weight=2.0, steps=2)
    first = made.step(0)
    assert 0.9 < float(first["loss/separability"]) <= 1  # an untrained decoder ignores what it is given
    assert float(first["loss/total"]) == pytest.approx(float(first["loss/base"] + 2 * first["loss/separability"]))
    made.step(1)
    assert made.evaluate().metrics["hinge/last_step"] == 2
    for wrong, said in ((f"{__name__}:appart", "did you mean 'apart'"), ("no_such_module:f", "no module")):
        with pytest.raises(ValueError, match=said):
            task(separability=wrong).step(0)


def reference(kind: str, **more: Any) -> Evaluation:
    words = {k: v for k, v in TINY.items() if k != "dropout"}
    made = ReferenceTask(Reference(**{**words, "reference": kind, **more}), Context("cpu", 0))
    for index in range(made.steps):
        assert float(made.step(index)["loss/total"]) > 0
    return made.evaluate()


def test_references_are_measured_as_models_are(baseline: Evaluation) -> None:
    measured = {
        name for name in baseline.metrics if name.partition("/")[0] in ("validation", "better", "robust", "reverse")
    }
    found = {kind: reference(kind).metrics for kind in ("unchanged", "crossfade", "grey", "colour")}
    assert all(set(metrics) == measured for metrics in found.values())
    assert found["unchanged"]["validation/content"] == pytest.approx(0, abs=1e-6)
    assert found["unchanged"]["validation/id1"] == found["unchanged"]["validation/id2"] == 0
    assert found["unchanged"]["better/than_unchanged"] == 0
    assert found["crossfade"]["better/than_crossfade"] == 0
    # A sheet of grey is no answer by any of them, and noise on its inputs changes nothing of it.
    assert found["grey"]["validation/stylised"] > found["unchanged"]["validation/stylised"]
    assert found["grey"]["reverse/stylised"] > found["unchanged"]["reverse/stylised"]
    assert found["grey"]["robust/stylised"] == pytest.approx(found["grey"]["validation/stylised"])
    assert found["unchanged"]["robust/stylised"] > found["unchanged"]["validation/stylised"]


def test_optimised_pixels_are_below_every_other_picture() -> None:
    pixels = reference("pixels", steps=40, lr=0.05)
    for other in ("unchanged", "crossfade", "grey", "colour"):
        assert pixels.metrics["validation/stylised"] < 0.7 * reference(other).metrics["validation/stylised"]
    assert "robust/stylised" not in pixels.metrics  # no function of its images


def test_unchanged_content_passes_for_no_model(baseline: Evaluation) -> None:
    """What the tables call better is neither doing nothing nor a collapsed network."""
    assert reference("grey").metrics["better/than_unchanged"] == 0
    assert baseline.collapsed == "every output is a constant picture"  # four steps are no training


def test_near_equal_pairs_are_found_among_all(separated: Evaluation) -> None:
    def compare(tolerance: float) -> Evaluation:
        settings = Comparison(**TINY, separability="full", tolerance=tolerance, shown=1)
        return ComparisonTask(settings, Context("cpu", 0, separated.model)).evaluate()

    every, none = compare(1.0), compare(1e-9)
    assert every.metrics["pairs/searched"] == every.metrics["pairs/near_equal"] == 24
    table = every.arrays["pairs"]
    assert every.metrics["pairs/distance"] == pytest.approx(table["distance"].max())
    # Without a near-equal pair the most equal one is shown, and the count says so.
    assert none.metrics["pairs/near_equal"] == 0
    assert none.metrics["pairs/distance"] == pytest.approx(table["distance"][table["apart"].max(1).argmin()])
    assert set(every.metrics) <= set(find_task("stytr2_pairs").metrics)


def test_noise_and_content_are_compared_at_one_style_loss(separated: Evaluation) -> None:
    made = ComparisonTask(Comparison(**TINY, separability="full"), Context("cpu", 0, separated.model))
    pairs = np.array([[0, 0], [1, 2]])
    images, of_targets = made.targets(pairs, made.layers)
    content = images[:2]
    strong, weak = content.lerp(images[2:], 0.6), content.lerp(images[2:], 0.2)
    style = [made._losses(output, of_targets)[1] for output in (strong, weak)]
    assert (style[0] < style[1]).all()
    blended, untouched = made._at_one_style(content, [strong, weak], style, of_targets)
    assert torch.equal(untouched, weak)
    torch.testing.assert_close(made._losses(blended, of_targets)[1], style[1], rtol=0.02, atol=0)


def test_equal_models_have_equal_pictures(separated: Evaluation) -> None:
    model = {**separated.model, "reference": separated.model}
    settings = Comparison(**TINY, separability="full")
    metrics = ComparisonTask(settings, Context("cpu", 0, model)).evaluate().metrics
    assert metrics["pairs/distance"] == pytest.approx(0, abs=1e-6)
    assert metrics["pairs/mean_ssim"] == pytest.approx(1)
    assert metrics["pairs/near_equal"] == 24


def test_a_comparison_needs_two_models(baseline: Evaluation) -> None:
    with pytest.raises(ValueError, match="itself starts `from` the baseline"):
        ComparisonTask(Comparison(**TINY, separability="full"), Context("cpu", 0, baseline.model))


def test_tasks_name_their_data_and_what_makes_them() -> None:
    for spec in TASKS:
        assert callable(load(spec.make))
        assert spec.objective in spec.metrics
    settings = Training(steps=1, separability="none", content="kaggle_random_images", weights="torchvision19")
    assert TASKS[0].data(settings) == ["kaggle_random_images", "styles", "vgg19_torchvision"]
    assert len(LAYERS) == 10
