"""What Figures 2 to 4 show of a predictor W_p and the second moment F of its inputs: spectra, alignment, asymmetry.

Sections 3.2 and 5.1. Everything is computed in float64 on the CPU, once every few epochs; d is the size of W_p.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TOLD = {
    "rank": "effective_rank",
    "top_share": "top_share",
    "alignment_top16": "alignment_top16",
    "asymmetry_after": "asymmetry",
}
"""Array -> the number of a spectrum that it holds of every snapshot."""

SERIES = ("eig_f", "eig_w", "alignment")

ALIVE = 1e-2
"""An eigenvalue of W_p beyond this size counts as not zero."""


DEAD = 1e-3
"""An eigenvalue of F below this share of the largest counts as zero."""


@dataclass(frozen=True)
class Spectrum:
    """F and W_p at one moment.

    eig_f: [d], eigenvalues of F, descending. eig_w: [d], real parts of W_p's, descending. alignment: [d], the cosine
    of v and W_p v for F's eigenvectors v in eig_f's order; negative where W_p turns v around. asymmetry:
    sum |W_p - W_p'| / sum |W_p|. asymmetry_l2: in Frobenius norms.
    """

    eig_f: np.ndarray
    eig_w: np.ndarray
    alignment: np.ndarray
    asymmetry: float
    asymmetry_l2: float


def spectrum(f: Tensor, w: Tensor) -> Spectrum:
    """The spectrum of F [d, d], positive semidefinite, and W_p [d, d].

    A decomposition that fails gives way to another, with a warning. Raises ValueError if a number is not finite.
    """
    f, w = f.detach().cpu().double(), w.detach().cpu().double()
    for name, matrix in (("F", f), ("W_p", w)):
        if not torch.isfinite(matrix).all():
            raise ValueError(f"{name} holds numbers that are not finite: the training has diverged, lower its lr")
    values, vectors = _modes((f + f.T) / 2)
    eig_w = _real_parts(w)
    turned = w @ vectors
    cosine = (vectors * turned).sum(0) / turned.norm(dim=0).clamp_min(1e-300)
    l1, l2 = asymmetry(w)
    return Spectrum(values.numpy(), eig_w.sort(descending=True).values.numpy(), cosine.numpy(), l1, l2)


def _modes(f: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [d], descending, and eigenvectors in columns [d, d] of F."""
    try:
        values, vectors = torch.linalg.eigh(f)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        # The same values and vectors where F is positive semidefinite, by another algorithm.
        warnings.warn(f"eigh failed on F ({error}): its singular values are taken", RuntimeWarning, stacklevel=3)
        vectors, values, _ = torch.linalg.svd(f)
        return values, vectors
    return values.flip(0), vectors.flip(1)


def _real_parts(w: Tensor) -> Tensor:
    """Real parts [d] of the eigenvalues of W_p, in no order."""
    symmetric = torch.allclose(w, w.T, rtol=0, atol=1e-6 * float(w.abs().max()))
    found: Tensor
    try:
        found = torch.linalg.eigvalsh((w + w.T) / 2) if symmetric else torch.linalg.eigvals(w).real
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        warnings.warn(f"the eigenvalues of W_p failed ({error}): its transpose is asked", RuntimeWarning, stacklevel=3)
        found = torch.linalg.eigvals(w.T).real
    return found


def asymmetry(w: Tensor) -> tuple[float, float]:
    """|W - W'| / |W| of W [d, d]: entrywise L1 (the released code's) and Frobenius. sqrt(2) for independent entries."""
    difference = w - w.T
    l1 = difference.abs().sum() / w.abs().sum().clamp_min(1e-300)
    l2 = difference.norm() / w.norm().clamp_min(1e-300)
    return float(l1), float(l2)


def effective_rank(eigenvalues: np.ndarray) -> float:
    """exp of the entropy of the normalised eigenvalues, 1 to d (Roy and Vetterli, EUSIPCO 2007).

    0 where all are 0. Negative ones (rounding) count as 0.
    """
    positive = np.clip(eigenvalues, 0, None)
    total = positive.sum()
    if total <= 0:
        return 0.0
    share = positive / total
    return math.exp(-float((share[share > 0] * np.log(share[share > 0])).sum()))


def alive(s: Spectrum) -> np.ndarray:
    """Which modes of F are not nearly dead, bool [d]; all of them where F is nothing."""
    positive = np.clip(s.eig_f, 0, None)
    found: np.ndarray = positive >= DEAD * positive[0]
    return found


def summary(s: Spectrum) -> dict[str, float]:
    """The numbers of a spectrum that a run's curves and claims use."""
    positive = np.clip(s.eig_f, 0, None)
    total = float(positive.sum())
    # Parallel is parallel, whichever way: W_p turns some modes around, in the authors' series the leading one too.
    parallel = np.abs(s.alignment[alive(s)])
    return {
        "dynamics/effective_rank": effective_rank(s.eig_f),
        "dynamics/top_share": float(positive[0]) / total if total > 0 else 1.0,
        "dynamics/trace": total,
        "dynamics/alignment": float((positive * s.alignment).sum()) / total if total > 0 else 0.0,
        "dynamics/alignment_live": float(parallel.mean()),
        "dynamics/alignment_least": float(parallel.min()),
        "dynamics/alignment_top16": float(s.alignment[:16].mean()),
        "dynamics/asymmetry": s.asymmetry,
        "dynamics/asymmetry_l2": s.asymmetry_l2,
        "dynamics/live": float((np.abs(s.eig_w) > ALIVE).sum()),
        **{f"dynamics/eig_f_{i}": float(s.eig_f[i - 1]) for i in (1, 2, 3)},
        "dynamics/eig_w_max": float(s.eig_w[0]),
        "dynamics/eig_w_min": float(s.eig_w[-1]),
    }


class Log:
    """Spectra over a training: one before it, then one per snapshot; becomes the file that figures are drawn from."""

    def __init__(self, before: Spectrum):
        self.before = before
        self.epochs: list[int] = []
        self.spectra: list[Spectrum] = []

    def add(self, epoch: int, s: Spectrum) -> None:
        """Keep the spectrum at the end of `epoch` (0 is the first)."""
        self.epochs.append(epoch)
        self.spectra.append(s)

    @property
    def last(self) -> Spectrum:
        return self.spectra[-1] if self.spectra else self.before

    def near(self, share: float) -> Spectrum:
        """The snapshot nearest to this share, 0 to 1, of the epochs from the first snapshot to the last one.

        The one before training where there is no other.
        """
        if not self.spectra:
            return self.before
        epoch = self.epochs[0] + share * (self.epochs[-1] - self.epochs[0])
        return self.spectra[min(range(len(self.epochs)), key=lambda i: abs(self.epochs[i] - epoch))]

    def arrays(self) -> dict[str, np.ndarray]:
        """epoch [n]; eig_f, eig_w, alignment [n, d] at their ends; asymmetry, asymmetry_l2 [n + 1] with epochs_done
        [n + 1], which begin before the training; before_eig_f, before_eig_w, before_alignment [d].

        Of them: alignment_alive [n, d], nan where a mode of F is nearly dead; passed [n], the share of the way from
        the first snapshot to the last one, and there the numbers that the authors' series are told by: rank,
        top_share, alignment_top16 and asymmetry_after.
        """
        d = len(self.before.eig_f)
        everything = [self.before, *self.spectra]
        told = [summary(s) for s in self.spectra]
        epochs = np.array(self.epochs, np.float64)
        shown = [np.where(alive(s), s.alignment, np.nan) for s in self.spectra]
        return {
            "passed": (epochs - epochs[:1]) / max(1.0, float(np.ptp(epochs)) if len(epochs) else 0.0),
            "alignment_alive": np.array(shown).reshape(-1, d),
            **{name: np.array([one[f"dynamics/{metric}"] for one in told]) for name, metric in TOLD.items()},
            "epoch": np.array(self.epochs, np.float64),
            **{name: np.array([getattr(s, name) for s in self.spectra]).reshape(-1, d) for name in SERIES},
            "epochs_done": np.array([0, *(e + 1 for e in self.epochs)], np.float64),
            "asymmetry": np.array([s.asymmetry for s in everything]),
            "asymmetry_l2": np.array([s.asymmetry_l2 for s in everything]),
            **{f"before_{name}": getattr(self.before, name) for name in SERIES},
        }

    def state_dict(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in self.arrays().items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Log:
        a = {name: tensor.numpy() for name, tensor in state.items()}

        def at(i: int, prefix: str, row: int | None) -> Spectrum:
            eig_f, eig_w, alignment = (a[prefix + n] if row is None else a[n][row] for n in SERIES)
            return Spectrum(eig_f, eig_w, alignment, float(a["asymmetry"][i]), float(a["asymmetry_l2"][i]))

        log = cls(at(0, "before_", None))
        for row, epoch in enumerate(a["epoch"]):
            log.add(int(epoch), at(row + 1, "", row))
        return log
