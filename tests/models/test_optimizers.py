"""Optimizers by name: the right class, torch's defaults, one word for a ninth, errors that name the nearest."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from retable.models import optimizers


class Own(torch.optim.SGD):
    """Somebody's own optimizer, found by its dotted path."""


def weights() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0])), torch.nn.Parameter(torch.ones(2, 2))]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("adagrad", torch.optim.Adagrad),
        ("adadelta", torch.optim.Adadelta),
        ("rprop", torch.optim.Rprop),
        ("rmsprop", torch.optim.RMSprop),
        ("adam", torch.optim.Adam),
        ("adamax", torch.optim.Adamax),
        ("amsgrad", torch.optim.Adam),
        ("nadam", torch.optim.NAdam),
    ],
)
def test_the_papers_eight_are_torchs_classes_with_torchs_defaults(name: str, cls: type) -> None:
    made = optimizers.make(name, weights(), lr=0.02)
    assert type(made) is cls
    defaults = {k: p.default for k, p in inspect.signature(cls).parameters.items() if p.default is not p.empty}
    changed = {k for k, v in made.defaults.items() if k in defaults and v != defaults[k]}
    assert changed - {"lr"} == ({"amsgrad"} if name == "amsgrad" else set())
    assert made.defaults["lr"] == 0.02
    assert name in optimizers.PAPER


def test_every_word_makes_an_optimizer_that_lowers_a_quadratic() -> None:
    for name in optimizers.CLASSES:
        params = weights()
        optimizer = optimizers.make(name, params, lr=0.01)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = sum((p**2).sum() for p in params)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], name


@pytest.mark.parametrize("name", optimizers.PAPER)
def test_the_multi_tensor_form_takes_the_same_steps(name: str) -> None:
    ends = []
    for foreach in (True, False):
        params = weights()
        optimizer = optimizers.make(name, params, lr=0.01, foreach=foreach)
        for _ in range(5):
            optimizer.zero_grad()
            sum((p**3).sum() for p in params).backward()
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in params]))
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-7)


def test_options_reach_the_class() -> None:
    assert optimizers.make("sgd", weights(), lr=0.1, momentum=0.9).defaults["momentum"] == 0.9
    with pytest.raises(TypeError):
        optimizers.make("adam", weights(), lr=0.1, no_such_option=1)


def test_a_dotted_path_is_somebodys_own() -> None:
    assert type(optimizers.make(f"{__name__}:Own", weights(), lr=0.1)) is Own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:Own", "no module 'no_such_module_here'"),
        ("torch.optim:Adamm", "did you mean 'Adam'"),
        ("torch.nn:Linear", "is not a torch.optim.Optimizer"),
    ],
)
def test_a_dotted_path_that_leads_nowhere_says_why(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizers.make(name, weights(), lr=0.1)


def test_an_unknown_word_is_refused_when_settings_are_read() -> None:
    with pytest.raises(ValidationError, match=r"unknown optimizer 'adamm'; did you mean 'adam'"):
        TypeAdapter(optimizers.OptimizerName).validate_python("adamm")


@given(st.text(max_size=12))
def test_only_known_words_and_dotted_paths_pass(name: str) -> None:
    try:
        assert optimizers.checked(name) == name
    except ValueError:
        assert name not in optimizers.CLASSES
    else:
        assert name in optimizers.CLASSES or name.count(":") == 1


def test_settings_are_checked_without_torch() -> None:
    code = "import sys; import retable.models.optimizers as o; o.checked('adam'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
