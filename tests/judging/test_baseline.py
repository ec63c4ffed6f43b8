"""A baseline's file: what an update adds, changes, drops and refuses, and that it is read as it was written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from gating import HERE, TWO, held, sixteen, trial

from retable.bench.judging import baseline as baselines
from retable.bench.judging.baseline import merge
from retable.bench.judging.measured import GateError
from retable.bench.judging.platforms import Measurement


def losses(found: baselines.Baseline, section: int = 0) -> dict[str, float]:
    return {trial: golden.values["loss"] for trial, golden in found.sections[section].trials.items()}


def test_an_update_of_a_part_leaves_the_rest_as_it_was() -> None:
    apart = Measurement({"threads": ("1", "2")}, "16 trials", {"grid": {"loss": 0.01}})
    before = baselines.with_measurements(held(*sixteen()), [apart])
    after, changes = merge(before, [*sixteen()[:7], trial("t7", 9.0), trial("new", 3.0)])
    assert (after.about, after.measurements) == (before.about, before.measurements)
    assert losses(after) == {**losses(before), "t7": 9.0, "new": 3.0}
    assert (changes.added, changes.changed, len(changes.same)) == (["grid: new"], ["grid: t7"], 7)
    assert changes.text().splitlines() == [
        "1 added, 1 changed, 7 as they were",
        "added: grid: new",
        "changed: grid: t7",
    ]


def test_what_is_gone_is_dropped_on_every_platform() -> None:
    before = merge(held(*sixteen()), sixteen(platform=TWO))[0]
    after, changes = merge(before, [trial("t3", None, "gone")])
    assert [len(s.trials) for s in after.sections] == [15, 15] and changes.dropped == ["grid: t3"]
    assert "dropped: grid: t3" in changes.text()
    assert merge(held(trial("t3")), [trial("t3", None, "gone")])[0].sections == []


def test_a_trial_that_was_not_measured_keeps_its_losses() -> None:
    before = held(*sixteen())
    after, changes = merge(
        before, [trial("t3", None, "missing"), trial("t4", None, "running"), trial("u", None, "missing")]
    )
    assert losses(after) == losses(before) and changes.unmeasured == ["grid: t3", "grid: t4"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (trial("t3", math.nan), "loss at step 0 is nan"),
        (trial("t3", math.inf), "loss at step 0 is inf"),
        (trial("t3", None, "failed", reason="out of memory"), "failed: out of memory"),
        (trial("t3", 7.0, "stale", reason="older code"), "stale: older code"),
    ],
)
def test_what_no_check_could_hold_is_refused(bad: baselines.Measured, why: str) -> None:
    before = held(*sixteen())
    after, changes = merge(before, [bad, trial("t4", 9.0)])
    assert losses(after) == {**losses(before), "t4": 9.0} and changes.refused == {"grid: t3": why}
    assert f"refused: grid: t3: {why}" in changes.text()


def test_an_update_says_what_it_did_to_how_many() -> None:
    before = held(*(trial(name) for name in ("same", "moved", "old", "late")))
    found = [trial("same"), trial("moved", 2.0), trial("old", None, "gone"), trial("late", None, "missing")]
    _, changes = merge(before, [*found, trial("bad", math.nan), *(trial(f"n{i}") for i in range(12))])
    assert changes.text().splitlines() == [
        "12 added, 1 changed, 1 dropped, 1 as they were, 1 kept, not measured, 1 refused",
        *(f"added: grid: n{i}" for i in range(10)),
        "added: ... and 2 more",
        "changed: grid: moved",
        "dropped: grid: old",
        "refused: grid: bad: loss at step 0 is nan",
    ]
    assert changes.held == [*(f"grid: n{i}" for i in range(12)), "grid: moved", "grid: same"]
    assert "more" not in merge(held(), [trial(f"n{i}") for i in range(10)])[1].text()


def test_a_number_that_is_none_keeps_the_one_that_was() -> None:
    part = replace(trial("t0"), values={"loss at step 0": 10.0, "loss": math.nan})
    after, changes = merge(held(trial("t0")), [part])
    assert after == held(trial("t0")) and changes.refused == {"grid: t0": "loss is nan"} and not changes.held


def test_an_update_on_a_third_platform_leaves_both_others() -> None:
    three = {**HERE, "threads": "3"}
    two = merge(held(*sixteen()), sixteen(1.1, TWO))[0]
    after, changes = merge(two, [trial("t0", 1.2, platform=three)])
    assert after.sections[:2] == two.sections and losses(after, 2) == {"t0": 1.2}
    assert [(s.platform["threads"], len(s.trials)) for s in after.sections] == [("1", 16), ("2", 16), ("3", 1)]
    assert changes.added == ["grid: t0"]
    assert merge(two, [trial("t1", 9.0, platform=TWO)])[0].sections[0] == two.sections[0]


def test_of_two_platforms_that_could_be_it_the_one_with_the_trial_is_updated() -> None:
    both = merge(held(trial("a")), [trial("b", platform=TWO)])[0]
    untold = {key: value for key, value in HERE.items() if key != "threads"}
    after = merge(both, [trial("b", 2.0, platform=untold), trial("c", 3.0, platform=untold)])[0]
    assert [losses(after, i) for i in (0, 1)] == [{"a": 1.0, "c": 3.0}, {"b": 2.0}]


def test_another_outcome_is_a_change() -> None:
    _, changes = merge(held(trial("t3")), [trial("t3", 1.0, "collapsed")])
    assert changes.changed == ["grid: t3"]
    assert merge(held(), [])[1].text() == "nothing to do"


def test_each_platform_has_its_own_losses() -> None:
    both, changes = merge(held(trial("t0", 1.0)), [trial("t0", 1.5, platform=TWO)])
    assert [dict(s.platform) for s in both.sections] == [HERE, TWO] and len(changes.added) == 1
    assert [losses(both, i) for i in (0, 1)] == [{"t0": 1.0}, {"t0": 1.5}]
    again = merge(both, [trial("t0", 1.6, platform=TWO)])[0]
    assert [losses(again, i) for i in (0, 1)] == [{"t0": 1.0}, {"t0": 1.6}]
    golden, there = again.find("t0", TWO) or pytest.fail("not found")
    assert (golden.values["loss"], there) == (1.6, TWO)
    assert again.find("t9", TWO) is None


def test_a_platform_that_tells_more_is_still_the_same() -> None:
    less = {key: value for key, value in HERE.items() if key != "isa"}
    after = merge(held(trial("t0", platform=less)), [trial("t1")])[0]
    assert [dict(s.platform) for s in after.sections] == [HERE]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    measured = Measurement({"threads": ("1", "2")}, "4 trials", {"grid": {"loss": 0.1, "equal": 0.0}})
    before = merge(held(*sixteen(math.pi)), [trial("d", None, "diverged"), trial("t0", 1 / 3, platform=TWO)])[0]
    before = baselines.with_measurements(before, [measured])
    path = tmp_path / "toy.json"
    baselines.write(before, path)
    after = baselines.read(path)
    assert after == before and after.ids == {*(f"t{i}" for i in range(16)), "d"}
    again = path.read_bytes()
    baselines.write(after, path)
    assert path.read_bytes() == again


def test_a_file_has_a_line_for_each_number_so_that_git_shows_what_moved(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    small = {"threads": "1"}
    base = held(trial("b", 1 / 3, platform=small), trial("a", None, "diverged", platform=small))
    baselines.write(base, path)
    assert path.read_text() == SMALL


SMALL = """{
 "measured": [],
 "platforms": [
  {
   "platform": {
    "threads": "1"
   },
   "trials": {
    "a": {
     "experiment": "grid",
     "name": "grid: a",
     "outcome": "diverged",
     "seed": 0,
     "values": {},
     "varied": {
      "lr": 0.1
     }
    },
    "b": {
     "experiment": "grid",
     "name": "grid: b",
     "seed": 0,
     "values": {
      "loss": 0.3333333333333333,
      "loss at step 0": 3.333333333333333
     },
     "varied": {
      "lr": 0.1
     }
    }
   }
  }
 ],
 "scale": "quick",
 "suite": "toy"
}
"""


def test_a_number_that_is_none_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    nan = baselines.with_measurements(held(), [Measurement({}, "today", {"grid": {"loss": math.nan}})])
    with pytest.raises(ValueError, match="not JSON compliant"):
        baselines.write(nan, path)
    assert not path.exists()


def test_gone_trials_are_known_by_the_settings_of_today() -> None:
    planned = {m.trial.id: m.trial for m in sixteen()[1:]}
    (found,) = held(*sixteen()).gone(planned)
    assert (found.id, found.value("lr"), found.value("steps"), found.experiment) == ("t0", 0.1, 20, "grid")
    lonely = held(trial("x", experiment="cut")).gone(planned)
    assert [(t.id, t.settings, t.varied) for t in lonely] == [("x", {}, {"lr": 0.1})]
    assert held(trial("x", experiment="cut")).name("x") == "cut: x"


def test_two_stores_are_measured_by_what_differs_between_them() -> None:
    here = [trial("a", 1.0), trial("b", 2.0), trial("c", 3.0), trial("alone")]
    there = [trial("a", 1.1, platform=TWO), trial("b", 2.0, platform=TWO), trial("c", 3.0)]
    threads, same = baselines.measure(here, there, "today")
    assert threads.differs == {"threads": ("1", "2")} and threads.compared == "2 trials, today"
    assert threads.largest == {"grid": {"loss": pytest.approx(1 / 11), "loss at step 0": pytest.approx(1 / 11)}}
    assert same.differs == {} and same.largest == {"grid": {"loss": 0.0, "loss at step 0": 0.0}}
    backwards = baselines.measure(there, here, "today")
    assert [m.differs for m in backwards] == [{"threads": ("1", "2")}, {}] and backwards[0].largest == threads.largest


def test_numbers_that_are_none_are_as_far_apart_as_can_be() -> None:
    (found,) = baselines.measure([trial("a", 1.0)], [trial("a", math.nan, platform=TWO)], "today")
    assert found.largest["grid"] == {"loss": 1.0, "loss at step 0": 1.0}


def test_only_what_both_stores_hold_is_measured() -> None:
    one = replace(trial("a"), values={"loss": 1.0, "mine": 1.0})
    pairs = [(one, replace(trial("a"), values={"loss": 2.0, "theirs": 1.0})), (trial("b"), trial("b", 1.5))]
    (found,) = baselines.measure([a for a, _ in pairs], [b for _, b in pairs], "today")
    assert found.largest == {"grid": {"loss": 0.5, "loss at step 0": pytest.approx(1 / 3)}}
    assert found.compared == "2 trials, today"
    assert baselines.measure([one], [], "today") == []


def test_a_later_measurement_of_an_experiment_counts_and_leaves_others() -> None:
    def threads(**largest: float) -> Measurement:
        return Measurement({"threads": ("1", "2")}, "today", {name: {"loss": value} for name, value in largest.items()})

    torch = Measurement({"torch": ("1", "2")}, "today", {"a": {"loss": 0.5}})
    found = baselines.with_measurements(held(), [threads(a=0.1, b=0.1), torch])
    found = baselines.with_measurements(found, [threads(b=0.2, c=0.3)])
    assert [m.largest for m in found.measurements] == [threads(a=0.1, b=0.2, c=0.3).largest, torch.largest]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "JSONDecodeError"),
        ("[]", "AttributeError"),
        ("{}", "KeyError"),
        (
            '{"trials": {"a": {"allowed": {}}}}',
            r"\(ValueError: it was written by an older bench, which let losses move by the spread over seeds\): "
            "delete it, and --update writes it anew$",
        ),
        ('{"platforms": [{"platform": {}, "trials": {"a": {}}}], "measured": []}', "TypeError"),
        (
            '{"platforms": [], "measured": [{"differs": {}, "compared": "", "largest": {"a": {"b": NaN}}}]}',
            "'b' was measured to differ by nan",
        ),
        (
            '{"platforms": [], "measured": [{"differs": {}, "compared": "", "largest": {"a": {"b": -1}}}]}',
            "differ by -1",
        ),
    ],
)
def test_a_file_that_is_none_is_said_plainly(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "toy.json"
    path.write_text(text)
    with pytest.raises(GateError, match=f"toy.json is no baseline.*{says}"):
        baselines.read(path)


@pytest.mark.parametrize(
    ("value", "says"),
    [(math.nan, r"\(ValueError: 'loss' is nan\): delete it"), (math.inf, "'loss' is inf"), ("1.0", "is no baseline")],
)
def test_a_loss_that_is_no_number_is_said_plainly(tmp_path: Path, value: object, says: str) -> None:
    path = tmp_path / "toy.json"
    baselines.write(held(trial("t0")), path)
    body = json.loads(path.read_text())
    body["platforms"][0]["trials"]["t0"]["values"]["loss"] = value
    path.write_text(json.dumps(body))
    with pytest.raises(GateError, match=says):
        baselines.read(path)


def test_no_file_is_said_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(GateError) as error:
        baselines.read(tmp_path / "toy.json")
    assert str(error.value) == f"no baseline at {tmp_path / 'toy.json'}: bench check --update writes one"
