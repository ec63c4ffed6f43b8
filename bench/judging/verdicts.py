"""Claims -> verdicts: what our runs say of a sentence of the paper, and how that was judged.

A check is a set of clauses that must all hold, so it is an intersection-union test (R. L. Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24, 1982): `reproduced` needs every one of them reproduced at
its own level, without correction, and the worst one decides; of a clause's alternatives one is enough, so each is
tested at its share of the level. A contradiction is the reverse: one clause out of many is enough, so it must hold at
its share (Bonferroni), and within a clause all alternatives must fail. Fewer than three replicates support no more than
a direction, whichever way it points. docs/verdicts.md has the rules with their simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from retable.bench.judging import looks, power, stats, views
from retable.bench.judging.checks import prepare
from retable.bench.judging.forms import published_effect, published_ratio
from retable.bench.judging.looks import FIRST, Look
from retable.bench.judging.preconditions import Condition, hold
from retable.bench.judging.sides import CannotJudge, Clause, Comparison
from retable.bench.judging.stats import Difference, Outcome, difference
from retable.bench.judging.timing import not_alone
from retable.bench.judging.views import Book, Cell, Seen
from retable.bench.judging.words import UNDECIDED, Word
from retable.bench.numbers import counted, short, times
from retable.bench.results.frames import Results
from retable.bench.store.status import LOST
from retable.bench.suite.schema import Claim, Ratio, Same


@dataclass(frozen=True)
class Judged:
    """One comparison with its outcome. level: the two-sided confidence of the interval that decides it; among: of how
    many it has its share of the level."""

    comparison: Comparison
    difference: Difference
    outcome: Outcome
    level: float = stats.CONFIDENCE
    among: int = 1

    @property
    def shown(self) -> str:
        """`−1.1·10⁶ [−1.4·10⁶, −0.8·10⁶]`, or the mean alone where there is no interval."""
        return _interval(self.comparison, self.difference, self.level)


@dataclass(frozen=True)
class Verdict:
    """What our runs say of a claim.

    basis: one line, how it was judged. judged: every comparison, the deciding one first. seeds: replicates of the one
    that decides; 0 where nothing was judged. notes: what a reader must know beside it (stale, diverged or collapsed
    trials, a selection). conditions: the preconditions that it needs, as they stand.
    """

    name: str
    claim: Claim
    word: Word
    basis: str
    judged: tuple[Judged, ...] = ()
    seeds: int = 0
    notes: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def label(self) -> str:
        """The word, with the margin where it is of sameness: `the same within 2 %`."""
        check = self.claim.check
        if self.word != "the same" or not isinstance(check, Same):
            return self.word
        unit = self.judged[0].comparison.unit if self.judged else ""
        absolute = f"{short(float(check.within_absolute or 0))} {unit}".rstrip()
        margin = f"{check.within * 100:g} %" if check.within is not None else absolute
        return f"the same within {margin}"


def judge_all(results: Results) -> list[Verdict]:
    """A verdict for every claim of the suite, in its order. Draws nothing, imports neither torch nor MLflow."""
    return judge_book(views.read(results))


def judge_book(book: Book) -> list[Verdict]:
    """`judge_all` of results that are read already."""
    return [judge(book, name, claim) for name, claim in book.suite.claims.items()]


def judge(book: Book, name: str, claim: Claim) -> Verdict:
    """The verdict on one claim, at the level of this look at it. Raises `ReportError` for an unknown setting."""
    reason = book.not_here(claim)
    if reason:
        return Verdict(name, claim, "not run", f"not at scale {book.scale}: {reason}")
    place = f"claims.{name}"
    seen = views.look(book, place, claim)
    try:
        _selected_from_all(seen)
        setup = prepare(book, claim.from_, seen.cells, claim.check, place, seen.choices, claim.replicates)
    except CannotJudge as why:
        return Verdict(name, claim, "not run", _sentence(str(why)))
    conditions = tuple(hold(book, need) for need in claim.needs)
    unmet = [c for c in conditions if c.state == "does not hold"] or [c for c in conditions if c.state == "not run"]
    if unmet:
        said = "; ".join(c.words for c in unmet)
        word: Word = "not judgeable here" if unmet[0].state == "does not hold" else "not run"
        return Verdict(name, claim, word, said, conditions=conditions)
    busy = not_alone(book, claim.check.metric, setup.used)
    if busy:
        return Verdict(name, claim, "not judgeable here", busy, conditions=conditions)
    seeds = max((_seeds(one) for one in setup.comparisons if one.of_seeds), default=0)
    this = looks.look(book.results.looks.get(name, ()), seeds)
    judged = weigh(setup.clauses, this)
    first = judged[0]
    basis = _basis(judged, len(setup.clauses), claim, views.how_lost(setup.used), _published(book, claim), this)
    same = isinstance(claim.check, Same) and first.outcome == "reproduced"
    word = "the same" if same else first.outcome
    notes = (*_notes(seen, setup.used), *_takes(book, claim, first))
    return Verdict(name, claim, word, basis, judged, first.difference.n, notes, conditions)


def _takes(book: Book, claim: Claim, first: Judged) -> list[str]:
    """What it would take to decide an undecided claim: seeds, and hours of one core's work."""
    d = first.difference
    if first.outcome not in UNDECIDED or claim.kind != "learned" or not first.comparison.of_seeds:
        return []
    if d.n < stats.ENOUGH:
        return [f"{stats.ENOUGH} seeds are the fewest that decide"]
    need = power.needed(d, (1 - first.level) / 2)
    if need is None:
        return []
    spent = [t.seconds for c in first.comparison.cells for t in c.trials if math.isfinite(t.seconds)]
    cells = len(first.comparison.cells)
    hours = (need.seeds - d.n) * cells * sum(spent) / max(1, len(spent)) / 3600
    text = f"to decide it: {need.words}, {short(hours, 2)} core-hours, for the effect seen"
    effect = published_effect(book.suite, claim.check) if isinstance(claim.check, Ratio) else None
    if effect:
        text += f"; {power.seeds_for(effect, d.error * math.sqrt(d.n), (1 - first.level) / 2)} for the published one"
    return [text]


def _seeds(one: Comparison) -> int:
    """How many seeds a comparison rests on; 0 where it has none of its own."""
    return one.given.n if one.given else min(len(one.left), len(one.right))


def weigh(clauses: Sequence[Clause], look: Look = FIRST) -> tuple[Judged, ...]:
    """Every comparison judged, the deciding one first: the best of each clause's alternatives, the worst of these."""
    best = []
    rest: list[Judged] = []
    for clause in clauses:
        judged = sorted((_judged(one, look, len(clause), len(clauses)) for one in clause), key=_rank)
        best.append(judged[-1])
        rest += judged[:-1]
    return (*sorted(best, key=_rank), *rest)


def _judged(one: Comparison, look: Look, alternatives: int, clauses: int) -> Judged:
    """alternatives: of its clause, of which one is enough to hold; clauses: of which one is enough to fail."""
    lender = one.lender if look.planned else None
    d = look.weighed(one.given or difference(one.left, one.right, log=one.factor, lender=lender))
    alpha = look.alpha(d.n) * one.share
    found = stats.outcome(d, holds=alpha / alternatives, fails=alpha / clauses)
    among = clauses if found == "contradicted" or (found == "within noise" and d.below <= alpha) else alternatives
    return Judged(one, d, found, 1 - 2 * alpha / among, among)


def _rank(j: Judged) -> tuple[int, float]:
    return stats.RANK[j.outcome], _strength(j.difference)


def _strength(d: Difference) -> float:
    """Sorts comparisons of equal outcome: t where there is an interval, relative size where not."""
    if d.has_interval:
        return d.mean / d.error if d.error else math.copysign(math.inf, d.mean) if d.mean else 0.0
    return math.copysign(d.size, d.mean)


def _published(book: Book, claim: Claim) -> str:
    return published_ratio(book.suite, claim.check) if isinstance(claim.check, Ratio) else ""


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


def _interval(comparison: Comparison, d: Difference, level: float) -> str:
    if comparison.said:
        return comparison.said
    if d.settled is not None and d.has_interval:
        level = stats.CONFIDENCE
    say = times if comparison.factor else short
    middle, unit = say(comparison.shown(d.mean)), f" {comparison.unit}" if comparison.unit else ""
    if not d.has_interval:
        return middle + unit
    if not d.error:
        return f"{middle}{unit}, the same for every seed"
    low, high = sorted(comparison.shown(end) for end in d.interval(level))
    return f"{middle} [{say(low)}, {say(high)}]{unit}"


def _basis(judged: Sequence[Judged], clauses: int, claim: Claim, lost: str, published: str, look: Look) -> str:
    """`3 paired seeds, t 95 %; 13 of 15 comparisons hold; worst: rmsprop below adagrad: ×0.91 [×0.84, ×0.99]`.

    lost: how seeds without a difference ended. published: the paper's own ratio.
    """
    worst = judged[0]
    held = sum(j.outcome in ("reproduced", "direction only") for j in judged[:clauses])
    many = "" if clauses == 1 else f"{held} of {clauses} comparisons hold; worst: "
    shown = f": {worst.shown}" if worst.comparison.said or math.isfinite(worst.difference.mean) else ""
    which = f"{look.words}: " if look.words else ""
    text = f"{which}{_how(worst, claim, lost)}; {many}{worst.comparison.label}{shown}"
    return text + (f" (published {published})" if published else "")


def _how(j: Judged, claim: Claim, lost: str) -> str:
    """What the interval counts, and how it was formed."""
    d = j.difference
    unit = claim.replicates.unit if claim.replicates and not j.comparison.of_seeds else "seeds"
    many = counted(d.n, unit.removesuffix("s"), unit)
    if j.comparison.given is not None and d.n >= stats.ENOUGH:
        return (
            f"means of {many}, permutation test"
            if claim.check.form == "agrees"
            else f"{many}, prediction interval 95 %"
        )
    if d.n < stats.ENOUGH:
        if j.outcome != "within noise":
            return f"{many}: direction only" + (", and it is the opposite one" if "opposite" in j.outcome else "")
        if j.comparison.given is not None:
            return f"{many}, which are too few"
        if d.size < stats.TIE:
            return f"{many}, difference under the {stats.TIE * 100:g} % that so few can tell"
        return f"{many}, some {lost}: no direction"
    if d.settled is not None and d.has_interval:
        evidence = 1 / (d.below if d.mean < 0 else d.above)
        return f"{many}, e-value {evidence:.3g} of {looks.EVIDENCE * j.among:.3g} needed"
    if d.settled is not None:
        if d.same_sign and min(d.settled) < 1:
            return f"{d.n} {unit}: one side {lost} in all, the other in none"
        return f"{d.n} {unit}, some {lost}: no interval"
    if d.mean and d.size <= stats.ROUNDING:
        return f"{many}, difference under what rounding makes"
    pairing = f"paired {unit}, t" if d.paired else f"{unit} a side or more, unpaired, Welch t"
    how = f"{d.n} {pairing} {j.level * 100:.4g} %"
    if j.among > 1:
        how += f" over {j.among} comparisons (Bonferroni)"
    if j.comparison.share < 1:
        how += ", chosen and judged on the same seeds"
    return how + (f", variance shared with {d.lender.words}" if d.lender is not None else "")


def _notes(seen: Seen, used: Sequence[Cell]) -> tuple[str, ...]:
    """What stands beside a verdict: diverged, collapsed and stale trials, and what a selection does to it."""
    lost = {state: sum(len(c.in_state(state)) for c in used) for state in LOST}
    notes = [f"{counted(n, f'{state} trial')} counted as the worst possible value" for state, n in lost.items() if n]
    stale = sum(t.stale for c in used for t in c.trials)
    if stale:
        notes.append(f"{counted(stale, 'trial')} from older code (stale)")
    if seen.choices:
        over = ", ".join(seen.choices[0].over)
        fewest = min(choice.seeds for choice in seen.choices)
        how = "for each seed on the others, at half the level"
        if fewest < 2:
            how = "on the one seed there is, which flatters the chosen"
        elif fewest > 4:
            how = "on the first third of the seeds, and judged on the others"
        notes.append(f"the best cell over {over} was chosen {how}")
        dropped = {state: sum(choice.lost.get(state, 0) for choice in seen.choices) for state in LOST}
        notes += [f"{counted(n, f'{state} cell')} could not be chosen" for state, n in dropped.items() if n]
    return tuple(notes)
