"""Real placebos: all pairs once, judged as a report would, and a page that says what was done."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_verbs
import numpy as np
import pytest

import study
from benchmarks import placebo, placebo_real
from benchmarks.placebo_real import FilmSet, missed, pairs_of, sets_of, shares
from benchmarks.placebo_real_page import luck
from provenance import UserError, read_json
from studies.specification.read import load_specification, parse_specification
from studies.statistics.results import pairs_of as pairs_of_scenarios
from studies.statistics.whole_set import arms_of_sets, predictions_of

GOOD = {"set": "kermany", "alone": 0.05, "beside": 0.05, "patients_only": 0.2}


def test_all_pairs_of_twelve_come_once() -> None:
    pairs = [frozenset((frozenset(one), frozenset(two))) for one, two in pairs_of(12)]
    assert len(pairs) == len(set(pairs)) == 9240  # 12! / (3! 3! 6!) / 2
    assert all(len(frozenset.union(*pair)) == 6 for pair in pairs)


def test_pairs_are_judged_as_a_studys_report_judges_them() -> None:
    draws = np.random.default_rng(3)
    owner = np.arange(96) // 2
    labels, ease = owner % 2, draws.normal(size=48)[owner]
    # Some trainings are better, so that some pairs differ.
    tables = [(0.8 + 0.5 * (s > 3)) * labels + ease + draws.normal(size=96) for s in range(8)]
    evaluations = [
        {
            "images": [
                {"id": f"f{i}", "patient_id": f"p{owner[i]}", "label": int(labels[i])}
                | {"probability": float(1 / (1 + np.exp(-table[i])))}
                for i in range(96)
            ]
        }
        for table in tables
    ]
    plan: dict[str, Any] = {
        "name": "three", "seeds": [0, 1, 2], "metric": "auroc", "baseline_scenario": "a",
        "scenarios": [{"id": one} for one in "abc"], "models": [{"name": "m", "config": "m.yaml"}],
    }  # fmt: skip
    three = parse_specification(plan, "three.yaml")
    shown: dict[str, list[bool]] = {"alone": [], "beside": [], "patients_only": []}
    for first, second in pairs_of(8):
        rest = [one for one in range(8) if one not in {*first, *second}]
        records = [
            {"scenario": scenario, "model": "m", "seed": seed, "evaluation": evaluations[training]}
            for scenario, side in (("a", first), ("b", second), ("c", rest))
            for seed, training in enumerate(side)
        ]
        for name, given in (("alone", records[:6]), ("beside", records)):
            (found,) = pairs_of_scenarios(three, given, [("b", "a")], "m")
            assert found.p_value is not None
            shown[name].append(found.p_value < 0.05)
        low, high = found.patients_only
        assert low is not None
        assert high is not None
        shown["patients_only"].append(low > 0 or high < 0)
    one = {seed: predictions_of({"evaluation": each}) for seed, each in enumerate(evaluations)}
    (arm,), strata, _, _ = arms_of_sets([one], "auroc")
    found_shares = shares(arm, strata)
    assert found_shares.pairs == len(shown["alone"]) == 280
    for name, hits in shown.items():
        assert getattr(found_shares, name) == np.mean(hits)
        assert 0 < np.mean(hits) < 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"alone": 0.1}, "kermany, two arms alone: 10.0%, at most 9%"),
        ({"beside": 0.1}, "kermany, a third arm beside them: 10.0%, at most 9%"),
        ({"alone": 0.07}, "on average, two arms alone: 7.0%, at most 6%"),
    ],
)
def test_a_share_that_misses_its_bar_is_named(changed: dict[str, float], sentence: str) -> None:
    assert missed([GOOD, GOOD]) == []
    assert sentence in missed([GOOD | changed])


def test_a_right_test_shows_five_per_cent_on_average_and_twelve_trainings_scatter() -> None:
    low, high = luck(12)
    assert 0.015 < low < 0.04
    assert 0.06 < high < 0.1


def test_sets_have_names_of_their_own() -> None:
    names = [one.name for one in sets_of([Path("a/kermany"), Path("a/nih")], [Path("a/kermany")])]
    assert names == ["kermany", "nih", "kermany_20_to_1"]
    with pytest.raises(UserError, match="several sets would be called nih, after"):
        sets_of([Path("a/nih"), Path("b/nih")], [])


def test_a_study_that_is_no_placebo_is_refused() -> None:
    good = load_specification(placebo.PROCEDURE)
    placebo_real.check_procedure(good, placebo.PROCEDURE)
    with pytest.raises(UserError, match=r"seeds: 3 of them; with fewer than 12"):
        placebo_real.check_procedure(replace(good, seeds=(0, 1, 2)), Path("few.yaml"))
    two = replace(good, scenarios=(*good.scenarios, replace(good.scenarios[0], id="other")))
    with pytest.raises(UserError, match=r"two.yaml: has 2 scenarios and 1 models"):
        placebo_real.check_procedure(two, Path("two.yaml"))


def test_a_set_made_unequal_trains_with_the_flag() -> None:
    good = load_specification(placebo.PROCEDURE)
    unequal = placebo_real.study_of(good, FilmSet("k", Path("k"), 20))
    assert unequal.arguments == (*good.arguments, "--data.imbalance", "20")
    assert placebo_real.study_of(good, FilmSet("k", Path("k"))) == good


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The benchmark's command line in this process, with verbs that train nothing."""
    (tmp_path / "control").mkdir()
    monkeypatch.setenv("UNDERSTUDY_FAKE", str(tmp_path / "control"))
    monkeypatch.setattr(study, "load_verbs", fake_verbs.load_verbs)

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["placebo.py", *map(str, words)])
        with pytest.raises(SystemExit) as raised:
            placebo.main()
        assert isinstance(raised.value.code, int)
        return raised.value.code

    return run


def test_sets_are_trained_judged_and_gone_on_with(
    call: Callable[..., int],
    film_cache: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = film_cache(tmp_path / "films")
    words = ("--real", "--data.root", root, "--out", tmp_path / "out", "--workers", 0)
    fake_verbs.order("same__vgg16__seed4", "fail")
    assert call(*words) == 2
    assert "11 of 12 trainings are finished. Nothing is judged before" in capsys.readouterr().err
    fake_verbs.order("same__vgg16__seed4")
    page = tmp_path / "page.md"
    status = call(*words, "--page", page)
    fits = [event for event in fake_verbs.events() if event.startswith("fit ")]
    assert len(fits) == 13  # twelve, and the one that failed once
    (row,) = read_json(tmp_path / "out" / "placebo.json")
    assert row["pairs"] == 9240
    assert len(row["auroc"]) == len(set(row["auroc"])) == 12
    assert row["test_patients"] == 40
    assert row["test_films"] == {"normal": 40, "abnormal": 40}
    assert status == int(bool(missed([row])))
    told = page.read_text()
    assert f"| films | 9,240 | {row['alone']:.1%} | {row['beside']:.1%} |" in told
    assert "--data.root data/films --out runs/placebo" in told
    assert str(tmp_path) not in told
    assert ("MISSED" in told) == bool(status)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--real",), "--real needs --out FOLDER and caches"),
        (("--real", "--data.root", "a", "--out", "b", "--studies", "3"), "--studies is of"),
        (("--data.root", "a"), "need --real"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(
    words: tuple[str, ...],
    sentence: str,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*words) == 2
    assert sentence in capsys.readouterr().err
