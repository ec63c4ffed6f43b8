"""Claims -> verdicts: what our runs say of a sentence of the paper, and how that was judged.

A check is a set of comparisons that must all hold, so it is an intersection-union test (R. L. Berger,
"Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982): `reproduced` needs every one
of them reproduced at its own level, without correction, and the worst one decides. Each uses the two-sided 95 %
interval of `stats`, so that a claim without truth is called reproduced with probability 2.5 % at most. A
contradiction is the reverse, one comparison out of many being enough, so it must hold at 5 % over their number
(Bonferroni). Fewer than three seeds have no interval and support no more than a direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from retable.bench.judging import stats, views
from retable.bench.judging.checks import CannotJudge, Comparison, prepare
from retable.bench.judging.stats import Difference, Outcome, difference
from retable.bench.judging.views import Book, Cell, Seen
from retable.bench.numbers import counted, short, times
from retable.bench.results.frames import Results
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Claim, Ratio

Word = Literal["reproduced", "within noise", "direction only", "contradicted", "not run"]
WORDS: tuple[Word, ...] = ("reproduced", "direction only", "within noise", "contradicted", "not run")
SYMBOLS: dict[Word, str] = {
    "reproduced": "✔",
    "direction only": "↗",
    "within noise": "≈",
    "contradicted": "✘",
    "not run": "–",
}
MEANINGS: dict[Word, str] = {
    "reproduced": "the claim holds, and the 95 % interval over at least three seeds leaves the opposite out",
    "direction only": "the claim holds in our runs, but they are too few for an interval",
    "within noise": "our runs cannot tell the claim from its opposite",
    "contradicted": "our runs say the opposite; with one or two seeds that too is only a direction",
    "not run": "runs that the claim needs are missing, failed, or beyond this scale",
}


@dataclass(frozen=True)
class Judged:
    """One comparison with its outcome. `strict`: the interval at the level that a contradiction must reach."""

    comparison: Comparison
    difference: Difference
    strict: Difference
    outcome: Outcome

    @property
    def shown(self) -> str:
        """`−1.1·10⁶ [−1.4·10⁶, −0.8·10⁶]`, or the mean alone where there is no interval."""
        return _interval(self.comparison, self.difference)


@dataclass(frozen=True)
class Verdict:
    """What our runs say of a claim.

    basis: one line, how it was judged. judged: every comparison, the deciding one first. seeds: of the side with
    the fewest; 0 where nothing was judged. notes: what a reader must know beside it (stale, diverged or collapsed
    trials, a selection on the same seeds).
    """

    name: str
    claim: Claim
    word: Word
    basis: str
    judged: tuple[Judged, ...] = ()
    seeds: int = 0
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The word, with the seeds where a contradiction rests on too few to be one: `contradicted (1 seed)`."""
        few = self.word == "contradicted" and self.seeds < stats.ENOUGH
        return f"{self.word} ({counted(self.seeds, 'seed')})" if few else self.word


def judge_all(results: Results) -> list[Verdict]:
    """A verdict for every claim of the suite, in its order. Draws nothing, imports neither torch nor MLflow."""
    book = views.read(results)
    return [judge(book, name, claim) for name, claim in book.suite.claims.items()]


def judge(book: Book, name: str, claim: Claim) -> Verdict:
    """The verdict on one claim. Raises `ReportError` where the claim names an unknown setting."""
    reason = book.not_here(claim)
    if reason:
        return Verdict(name, claim, "not run", f"not at scale {book.scale}: {reason}")
    place = f"claims.{name}"
    seen = views.look(book, place, claim)
    try:
        _selected_from_all(seen)
        chosen = claim.select.over if claim.select else ()
        setup = prepare(book, claim.from_, seen.cells, claim.check, place, chosen)
        judged = weigh(setup.comparisons)
    except CannotJudge as why:
        return Verdict(name, claim, "not run", _sentence(str(why)))
    seeds = min(j.difference.n for j in judged)
    basis = _basis(judged, claim, views.how_lost(setup.used))
    return Verdict(name, claim, judged[0].outcome, basis, judged, seeds, _notes(seen, setup.used))


def weigh(comparisons: Sequence[Comparison]) -> tuple[Judged, ...]:
    """Every comparison judged, the worst first: that one decides."""
    level = 1 - (1 - stats.CONFIDENCE) / len(comparisons)
    judged = []
    for one in comparisons:
        d = difference(one.left, one.right, log=one.factor)
        strict = difference(one.left, one.right, level, log=one.factor)
        judged.append(Judged(one, d, strict, stats.outcome(d, strict=strict)))
    if any(j.difference.n < stats.ENOUGH for j in judged):  # a claim is as strong as its weakest comparison
        judged = [_capped(j) for j in judged]
    return tuple(sorted(judged, key=lambda j: (stats.RANK[j.outcome], _strength(j.difference))))


def _capped(j: Judged) -> Judged:
    return Judged(j.comparison, j.difference, j.strict, "direction only") if j.outcome == "reproduced" else j


def _strength(d: Difference) -> float:
    """Sorts comparisons of equal outcome: t where there is an interval, relative size where not."""
    if math.isfinite(d.low):
        half = d.high - d.mean
        return d.mean / half if half else math.copysign(math.inf, d.mean) if d.mean else 0.0
    return math.copysign(d.size, d.mean)


def _selected_from_all(seen: Seen) -> None:
    """A best cell is only the best where its whole grid was run; diverged and collapsed cells were run."""
    gone = [c for choice in seen.choices for c in choice.incomplete]
    none = [c for choice in seen.choices if not choice.winner and not choice.incomplete for c in choice.grid[:1]]
    if gone:
        over = ", ".join(seen.choices[0].over)
        names = views.varying([c for choice in seen.choices for c in choice.grid])
        said = "; ".join(f"{views.describe(c, names)}: {_why(c)}" for c in gone[:4])
        more = f" and {len(gone) - 4} more" if len(gone) > 4 else ""
        raise CannotJudge(f"{counted(len(gone), 'cell')} of the selection over {over} incomplete ({said}{more})")
    if none:
        rest = [n for n in views.varying(none) if n not in seen.choices[0].over]
        said = ", ".join(views.describe(c, rest) for c in none) or "the grid"
        how = views.how_lost(c for choice in seen.choices if not choice.winner for c in choice.grid)
        raise CannotJudge(f"every cell of {said} {how}, so there is nothing to select")


def _why(cell: Cell) -> str:
    return next((views.trouble(t) for t in cell.trials if t.state != "finished"), "not measured")


def _sentence(words: str) -> str:
    return f"N{words[1:]}" if words.startswith("no ") else words


def _interval(comparison: Comparison, d: Difference) -> str:
    say = times if comparison.factor else short
    middle, unit = say(comparison.shown(d.mean)), f" {comparison.unit}" if comparison.unit else ""
    if math.isinf(d.low):
        return middle + unit
    if d.low == d.high:
        return f"{middle}{unit}, the same for every seed"
    low, high = sorted((comparison.shown(d.low), comparison.shown(d.high)))
    return f"{middle} [{say(low)}, {say(high)}]{unit}"


def _basis(judged: Sequence[Judged], claim: Claim, lost: str) -> str:
    """`3 paired seeds, t 95 %; worst of 15 pairs, rmsprop below adagrad: −1.1·10⁶ [−1.4·10⁶, −0.8·10⁶]`.

    lost: how seeds without a difference ended.
    """
    worst = judged[0]
    d = worst.difference
    held = sum(j.outcome in ("reproduced", "direction only") for j in judged)
    many = "" if len(judged) == 1 else f"{held} of {len(judged)} comparisons hold; worst: "
    shown = worst.shown
    if d.n < stats.ENOUGH:
        how = f"{counted(d.n, 'seed')}: direction only"
        if worst.outcome == "contradicted":
            how += ", and it is the opposite one"
        elif worst.outcome == "within noise":
            how = f"{counted(d.n, 'seed')}, difference under the {stats.TIE * 100:g} % that so few can tell"
    elif math.isinf(d.low):
        how = f"{d.n} seeds, some {lost}: no interval"
        if d.low == d.high:
            how = f"{d.n} seeds: one side {lost} in all, the other in none"
    else:
        how = f"{d.n} {'paired seeds, t' if d.paired else 'seeds a side or more, unpaired, Welch t'} 95 %"
        if worst.outcome == "contradicted" and len(judged) > 1:
            how += f" over {len(judged)} comparisons (Bonferroni)"
            shown = _interval(worst.comparison, worst.strict)
    text = f"{how}; {many}{worst.comparison.label}" + (f": {shown}" if math.isfinite(d.mean) else "")
    if isinstance(claim.check, Ratio) and isinstance(claim.check.published, float):
        text += f" (published {times(claim.check.published)})"
    return text


def _notes(seen: Seen, used: Sequence[Cell]) -> tuple[str, ...]:
    """What stands beside a verdict: diverged, collapsed and stale trials, and what a selection does to it."""
    lost = {state: sum(len(c.in_state(state)) for c in used) for state in LOST}
    notes = [f"{counted(n, f'{state} trial')} counted as the worst possible value" for state, n in lost.items() if n]
    stale = sum(t.stale for c in used for t in c.trials)
    if stale:
        notes.append(f"{counted(stale, 'trial')} from older code (stale)")
    if seen.choices:
        over = ", ".join(seen.choices[0].over)
        notes.append(f"the best cell over {over} was chosen on the same seeds, which flatters the chosen")
        dropped = {state: sum(choice.lost.get(state, 0) for choice in seen.choices) for state in LOST}
        notes += [f"{counted(n, f'{state} cell')} could not be chosen" for state, n in dropped.items() if n]
    return tuple(notes)
