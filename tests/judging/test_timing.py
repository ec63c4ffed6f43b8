"""Times are judged of trials that ran alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest
from trials import book, trials

from retable.bench.judging import views
from retable.bench.judging.timing import not_alone
from retable.bench.judging.verdicts import judge
from retable.bench.judging.views import Result
from retable.bench.suite.schema import Claim

NOON = pd.Timestamp("2026-01-03 12:00", tz="UTC")


def ran(optimizer: str, *spans: tuple[float, float | None], state: str = "") -> list[Result]:
    """A trial a span of minutes after noon; None: it has no end."""
    found = trials([state or 1.0 + i for i in range(len(spans))], "time/train", optimizer=optimizer)
    return [
        replace(
            t,
            started=NOON + pd.Timedelta(minutes=start),
            ended=None if end is None else NOON + pd.Timedelta(minutes=end),
        )
        for t, (start, end) in zip(found, spans, strict=True)
    ]


def busy(used: Sequence[Result], *others: Result, metric: str = "time/train") -> str:
    return not_alone(book([*used, *others]), metric, views.cells(used))


def test_trials_one_after_the_other_had_the_machine_to_themselves() -> None:
    assert busy([*ran("adam", (0, 1), (2, 3)), *ran("rprop", (1, 2), (3, 4))]) == "", "one may begin as another ends"


@pytest.mark.parametrize("other", [(0.5, 2.0), (-1.0, 0.5), (-1.0, 9.0), (0.2, 0.8), (0.0, 1.0)])
def test_whatever_ran_meanwhile_spoils_a_time(other: tuple[float, float]) -> None:
    said = busy(ran("adam", (0, 1)), *ran("bystander", other))
    assert said == (
        "1 of 1 trial ran beside others; a time is judged only of trials that ran alone (`bench run --workers 1`)"
    )


def test_two_of_one_claim_spoil_each_other_and_are_counted_once() -> None:
    used = [*ran("adam", (0, 2), (5, 6)), *ran("rprop", (1, 3))]
    assert busy([*used, *used[:1]]).startswith("2 of 3 trials ran beside others")


def test_a_trial_that_still_runs_is_one_that_others_are_timed_beside() -> None:
    used = ran("adam", (1, 2))
    assert busy(used, *ran("late", (0, None), state="running"))
    assert not busy(used, *ran("later", (3, None), state="running"))
    assert not busy(used, *ran("killed", (0, None), state="failed")), "nobody knows when it ended"


def test_what_has_not_begun_spoils_nothing() -> None:
    assert not busy(ran("adam", (1, 2)), *trials(["missing"], optimizer="rprop"))
    assert not busy(trials([1.0], "time/train", optimizer="adam"), *ran("rprop", (1, 2)))


def test_a_loss_does_not_mind_company() -> None:
    assert busy(ran("adam", (0, 1)), *ran("rprop", (0, 1)), metric="loss/total") == ""


def test_a_claim_on_time_is_not_judgeable_beside_others() -> None:
    check = {"form": "below", "metric": "time/train", "these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}
    claim = Claim.model_validate({"quote": "a sentence of the paper", "from": "defaults", "check": check})
    alone = [*ran("adam", (0, 1), (2, 3), (4, 5)), *ran("rprop", (1, 2), (3, 4), (5, 6))]
    assert judge(book(alone), "c", claim).word == "within noise"
    found = judge(book([*alone, *ran("bystander", (0.5, 0.7))]), "c", claim)
    assert (found.word, found.judged) == ("not judgeable here", ())
    assert found.basis.startswith("1 of 6 trials ran beside others")
