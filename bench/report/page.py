"""What a report says, before any markup: verdicts, tables, figures, where the numbers come from, what is missing.

Whether something is said, and in which words, is decided here, in `Built` and in `Drawn`; a form of the report only
spells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retable.bench.judging import consistency, preconditions, verdicts, views
from retable.bench.judging.consistency import Finding
from retable.bench.judging.preconditions import Condition
from retable.bench.judging.verdicts import Verdict
from retable.bench.judging.views import Book, Result
from retable.bench.judging.words import MEANINGS, SYMBOLS, WORDS
from retable.bench.numbers import counted, duration
from retable.bench.report import figures, tables
from retable.bench.report.drawn import Drawn
from retable.bench.report.tables import Built
from retable.bench.report.words import Listing, capital, sentences
from retable.bench.results.frames import Results
from retable.bench.store.places import experiment_name
from retable.bench.suite.schema import Images
from retable.bench.suite.values import text

PAPER_SCALE = "paper"
AGREE = "Do the paper's numbers agree?"
COMPLETE = "Nothing: every trial of this scale finished, with the code as it stands."
ELSEWHERE = "Declared for other scales only:"
FOLD_ABOVE = 12
"""Longer lists are folded; they are all there."""
SMALLER = "This scale is smaller than the paper's: it can support an ordering or a ratio, never an absolute value."


@dataclass(frozen=True)
class Fact:
    """A line of provenance: a name and its values, with how many runs each has where there are several."""

    name: str
    value: str


@dataclass(frozen=True)
class Trouble:
    """A trial that is not simply finished, or a whole experiment (`cell` says so) of which nothing was run."""

    experiment: str
    cell: str
    seed: str
    what: str


@dataclass(frozen=True)
class Declared:
    """An experiment as it was planned at this scale, for "what was run"."""

    name: str
    task: str
    about: str
    size: str
    varied: str
    fixed: str


@dataclass(frozen=True)
class Page:
    """Everything on a report. Built once by `gather`; `markdown`, `html`, `latex` and `csv` spell it."""

    book: Book
    verdicts: list[Verdict]
    conditions: list[Condition]
    tables: list[Built]
    figures: list[Drawn]
    facts: list[Fact]
    trouble: list[Trouble]
    declared: list[Declared]
    consistency: list[Finding]
    elsewhere: list[tuple[str, str]]
    status: str
    effort: str
    commands: list[str]

    @property
    def suite(self) -> str:
        return self.book.suite.suite

    @property
    def scale(self) -> str:
        return self.book.scale

    @property
    def link(self) -> str:
        """Where the paper is found, or an empty text."""
        paper = self.book.suite.paper
        return paper.url or (f"https://doi.org/{paper.doi}" if paper.doi else "")

    @property
    def where(self) -> str:
        """The paper's venue and year."""
        paper = self.book.suite.paper
        return ", ".join(filter(None, [paper.venue, str(paper.year)]))

    @property
    def ran(self) -> str:
        """What became of the trials, what they took, and on what."""
        machine = f"On {self.machine}." if self.machine else ""
        return sentences(f"{self.status}.", f"{self.effort}." if self.effort else "", machine)

    @property
    def caution(self) -> str:
        """The sentence on what a smaller scale can support, or an empty text at the paper's own."""
        return _caution(self.scale)

    @property
    def tally(self) -> str:
        """`Of 6 claims: 3 reproduced, 1 contradicted, 2 not run.` What is no claim about learned models, apart."""
        return _tally(self.verdicts)

    @property
    def legend(self) -> list[tuple[str, str, str]]:
        """Symbol, word and meaning of the verdicts that occur."""
        return [(SYMBOLS[w], w, MEANINGS[w]) for w in WORDS if any(v.word == w for v in self.verdicts)]

    @property
    def machine(self) -> str:
        """What the runs were computed on, or an empty text."""
        facts = {fact.name: fact.value for fact in self.facts}
        return facts.get("gpu") or facts.get("cpu" if facts.get("device", "cpu") == "cpu" else "device", "")

    @property
    def slips(self) -> str:
        """Whether published values that state one thing agree, in a sentence; empty where the suite declares none."""
        if not self.consistency:
            return ""
        wrong = [finding.about for finding in self.consistency if not finding.agrees]
        total = counted(len(self.consistency), "check")
        if not wrong:
            return f"The paper's own numbers agree in {total}."
        return f"The paper's own numbers disagree in {len(wrong)} of {total}: {'; '.join(wrong)}."

    @property
    def quotes(self) -> list[tuple[str, list[Verdict]]]:
        """Each sentence of the paper with its readings, each a claim, in the suite's order."""
        found: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            found.setdefault(verdict.claim.quote, []).append(verdict)
        return list(found.items())

    @property
    def preconditions(self) -> Listing:
        """What must hold of the models before a claim that needs it can be tried, and whether it does."""
        rows = [(capital(c.reads), c.state, c.numbers) for c in self.conditions]
        return Listing(("What must hold first", "here it", "numbers"), "lll", rows)

    @property
    def agreement(self) -> list[tuple[str, bool, str]]:
        """Published values that state one thing: what they state, whether they agree, and the values."""
        found = []
        for finding in self.consistency:
            support = f". {capital(finding.support)}" if finding.support else ""
            found.append((finding.about, finding.agrees, finding.words + support))
        return found

    @property
    def troubles(self) -> Listing:
        """Every trial that is not simply finished."""
        rows = [(t.experiment, t.cell, t.seed, t.what) for t in self.trouble]
        return Listing(("experiment", "cell", "seed", "what"), "llrl", rows)

    @property
    def fold_troubles(self) -> str:
        """The heading under which `troubles` is folded away, or an empty text where it is short."""
        n = len(self.trouble)
        return f"{n} trials that diverged, collapsed, failed, are stale or were not run" if n > FOLD_ABOVE else ""

    @property
    def hero(self) -> Drawn | None:
        """The first figure of pictures that could be drawn."""
        return next((d for d in self.figures if isinstance(d.figure, Images) and d.picture), None)


def tested(verdict: Verdict) -> str:
    """What the check tests, in a sentence; empty where the suite does not say."""
    reads = verdict.claim.reads.rstrip(".")
    return f"Tested: {reads}." if reads else ""


def beside(verdict: Verdict) -> str:
    """What a reader must know beside a verdict, and the suite's own note on it."""
    note = verdict.claim.note
    return sentences(*(f"{capital(note)}." for note in verdict.notes), f"Note: {note.rstrip('.')}." if note else "")


def comparisons(verdict: Verdict) -> Listing:
    """Every comparison of a verdict, the worst first."""
    rows = [(j.comparison.label, j.comparison.numbers, j.shown, str(j.outcome)) for j in verdict.judged]
    return Listing(("statement", "values", "difference or ratio", "says"), "llll", rows)


KINDS = {"learned": ("learned claim", ""), "identity": ("identity", "identities"), "toy": ("toy claim", "")}


def _tally(found: Sequence[Verdict]) -> str:
    said: list[str] = []
    for kind, nouns in KINDS.items():
        words = [v.word for v in found if v.claim.kind == kind]
        each = ", ".join(f"{words.count(w)} {w}" for w in WORDS if w in words)
        if words:
            said.append(f"{counted(len(words), *(nouns if len(words) < len(found) else ('claim', '')))}: {each}")
    return f"Of {'; of '.join(said)}." if said else ""


def _caution(scale: str) -> str:
    return "" if scale == PAPER_SCALE else SMALLER


def gather(results: Results, *, draw: bool = True) -> Page:
    """The page of some results; without figures where `draw` is false. Raises `ReportError`."""
    book = views.read(results)
    trials = book.trials
    stem = f"{book.suite.suite} --scale {book.scale}"
    return Page(
        book=book,
        verdicts=verdicts.judge_book(book),
        conditions=list(preconditions.hold_all(book).values()),
        tables=[tables.build(book, name, table, _caution(book.scale)) for name, table in book.suite.tables.items()],
        figures=figures.draw_all(book) if draw else [],
        facts=_facts(results, trials),
        trouble=_trouble(trials),
        declared=_declared(book),
        consistency=consistency.check(book.suite),
        elsewhere=_elsewhere(book),
        status=views.say_states(trials),
        effort=_effort(trials),
        commands=[f"bench run {stem}", f"bench report {stem}"],
    )


def _effort(trials: Sequence[Result]) -> str:
    """`41 min of computing in 22 min, 2026-01-03 10:00 to 10:22 UTC`."""
    seconds = [t.seconds for t in trials if t.run_id and t.seconds == t.seconds]
    if not seconds:
        return ""
    begun = [t.started for t in trials if t.started is not None]
    ended = [t.ended for t in trials if t.ended is not None]
    said = f"{duration(sum(seconds))} of computing"
    if begun and ended:
        first, last = min(begun), max(ended)
        same_day = first.date() == last.date()
        until = f"{last:%H:%M}" if same_day else f"{last:%Y-%m-%d %H:%M}"
        said += f", {first:%Y-%m-%d %H:%M} to {until} UTC"
    return said


_NAMES = {"dirty": "uncommitted changes"}
_FIRST = (
    "commit",
    "uncommitted changes",
    "device",
    "gpu",
    "cpu",
    "cores",
    "threads",
    "ranks",
    "host",
    "torch",
    "python",
)
_OF_ONE_RUN = {"trial", "suite", "scale", "code", "optuna", "owner", "checkpoint", "resumed", "reason", "outcome"}
"""Facts that belong to one run, or stand elsewhere in the report."""


def _facts(results: Results, trials: Sequence[Result]) -> list[Fact]:
    """The system facts of the runs that are reported, each with its values; what belongs to one run is left out."""
    runs = [t.run_id for t in trials if t.run_id in results.facts]
    found: dict[str, list[str]] = {}
    for run_id in runs:
        for key, value in results.facts[run_id].items():
            if key not in _OF_ONE_RUN and value:
                found.setdefault(_NAMES.get(key, key), []).append(value)
    names = sorted(found, key=lambda n: (_FIRST.index(n) if n in _FIRST else len(_FIRST), n))
    facts = [Fact(name, _values(found[name], len(runs))) for name in names]
    used = dict.fromkeys(t.experiment for t in trials if t.run_id)
    mlflow = [experiment_name(results.suite.suite, name) for name in used]
    return [*facts, Fact("MLflow experiments", ", ".join(mlflow))] if mlflow else facts


def _values(values: Sequence[str], runs: int) -> str:
    shown = {"true": "yes", "false": "no"}
    count = dict(sorted(Counter(values).items()))
    if len(count) == 1 and len(values) == runs:
        return shown.get(values[0], values[0])
    if len(count) > 6:
        return f"{len(count)} different values"
    return "; ".join(f"{shown.get(v, v)} ({counted(n, 'run')})" for v, n in count.items())


def _trouble(trials: Sequence[Result]) -> list[Trouble]:
    """Every trial that is not simply finished, stale ones too. An experiment without any run is one line."""
    lines = []
    for experiment in dict.fromkeys(t.experiment for t in trials):
        own = [t for t in trials if t.experiment == experiment]
        if len(own) > 1 and all(t.state == "missing" for t in own):
            lines.append(Trouble(experiment, f"all {len(own)} trials", "", "not run"))
            continue
        every = views.cells(own)
        names = views.varying(every)
        for cell in every:
            for trial in cell.trials:
                what = [views.trouble(trial)] if trial.state != "finished" else []
                if trial.stale:
                    what.append("stale: its code has changed since")
                if what:
                    label = ", ".join(f"{n} {text(cell.get(n))}" for n in names if cell.get(n) is not None)
                    lines.append(Trouble(experiment, label, str(trial.seed), "; ".join(what)))
    return lines


def _declared(book: Book) -> list[Declared]:
    """What each experiment declares at this scale: the settings that vary, and those that don't."""
    found = []
    for name, experiment in book.suite.experiments.items():
        every = views.cells(t for t in book.trials if t.experiment == name)
        if not every:
            continue
        names = views.varying(every)
        seeds = max(len(c.trials) for c in every)
        fixed = {k: v for k, v in every[0].settings.items() if k not in names}
        found.append(
            Declared(
                name=name,
                task=experiment.task,
                about=f"{experiment.about}; reference: {experiment.reference}"
                if experiment.reference
                else experiment.about,
                size=f"{counted(len(every), 'cell')} × {counted(seeds, 'seed')}",
                varied="; ".join(f"{n}: {_some(text(v) for v in views.values_of(every, n))}" for n in names),
                fixed=", ".join(f"{k} {text(v)}" for k, v in sorted(fixed.items())),
            )
        )
    return found


def _some(words: Iterable[str], most: int = 12) -> str:
    several = list(words)
    return ", ".join(several[:most]) + (f" and {len(several) - most} more" if len(several) > most else "")


def _elsewhere(book: Book) -> list[tuple[str, str]]:
    """What the suite declares for other scales only, each with its reason."""
    suite, scale = book.suite, book.scale
    found = [(f"experiment {n}", e.not_at[scale]) for n, e in suite.experiments.items() if scale in e.not_at]
    for kind, named in (("table", suite.tables), ("figure", suite.figures), ("claim", suite.claims)):
        found += [(f"{kind} {n}", view.not_at[scale]) for n, view in named.items() if scale in view.not_at]
    return found
