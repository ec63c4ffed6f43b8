"""Optimizers by a word in the settings; importing this module does not import torch.

The eight that "Comparing Optimization Methods for Deep Learning at the Example of Artistic Style
Transfer" (2020, section 2.3) compares, torch's other ones by their lower-case class name, and anybody's
own by "package.module:Class". Everything but the learning rate keeps torch's default.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from retable.bench.task import did_you_mean

if TYPE_CHECKING:
    import torch

# word -> torch.optim class, options that make it what the word says
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "adagrad": ("Adagrad", {}),
    "adadelta": ("Adadelta", {}),
    "rprop": ("Rprop", {}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {}),
    "adamax": ("Adamax", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "nadam": ("NAdam", {}),
    "adafactor": ("Adafactor", {}),
    "adamw": ("AdamW", {}),
    "asgd": ("ASGD", {}),
    "radam": ("RAdam", {}),
    "sgd": ("SGD", {}),
}

PAPER = ("adagrad", "adadelta", "rprop", "rmsprop", "adam", "adamax", "amsgrad", "nadam")
"""The eight of the paper, in the order of its table 1."""

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def checked(name: str) -> str:
    """`name` itself if it is a word of `CLASSES` or looks like "package.module:Class"; else ValueError."""
    if name in CLASSES or _REFERENCE.fullmatch(name):
        return name
    hint = did_you_mean(name, CLASSES, show=len(CLASSES))
    raise ValueError(f"unknown optimizer '{name}'{hint}, or your own as package.module:Class")


OptimizerName = Annotated[str, AfterValidator(checked)]
"""Type of a setting that names an optimizer."""


def make(
    name: str, params: Iterable[torch.nn.Parameter], lr: float, foreach: bool | None = None, **options: Any
) -> torch.optim.Optimizer:
    """The optimizer `name` over `params`.

    lr: learning rate; for Rprop the initial step of every weight.
    foreach: one kernel over all parameters (True), one after the other (False), torch's choice (None: a
        loop on the CPU). The algorithm is the same.
    options: further arguments of the class.

    Raises ValueError for an unknown name, a class that cannot be found or that is no torch optimizer,
    TypeError for an argument that the class does not take (Adafactor has its own form of `foreach`).
    """
    import torch

    checked(name)
    if foreach is not None:
        options["foreach"] = foreach
    if name in CLASSES:
        class_name, given = CLASSES[name]
        cls = getattr(torch.optim, class_name)
        options = {**given, **options}
    else:
        cls = _own(name)
    if not (isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)):
        raise ValueError(f"{name} is not a torch.optim.Optimizer")
    make_it: Any = cls
    optimizer: torch.optim.Optimizer = make_it(params, lr=lr, **options)
    return optimizer


def _own(reference: str) -> Any:
    module_name, _, class_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"optimizer '{reference}': no module '{error.name}' can be imported") from error
    if not hasattr(module, class_name):
        known = [name for name in vars(module) if name[:1].isupper()]
        raise ValueError(f"optimizer '{reference}': no '{class_name}' in it{did_you_mean(class_name, known)}")
    return getattr(module, class_name)
