"""Verdicts on rules: which bound is read, what is undecided, and how many images it would take."""

import json

import pytest

from gates.figures import Figure, counted, of_entry
from gates.judge import (
    CANNOT_BE_SAID,
    DOES_NOT_HOLD,
    HOLDS,
    exit_status,
    judged,
    plural,
    printed_lines,
    table_of,
)
from gates.names import COUNT, SHARE
from gates.rules import Rule
from gates.rules import parse_rules as parsed

FIGURES = {
    "copies": Figure(0.0, None, 0.008, unit="synthetic image", number=400),
    "coverage_vgg": Figure(
        0.63, 0.58, 0.68, unit="image of either set", number=300, also=("coverage",)
    ),
    "flagged": counted(3),
    "dice": Figure(0.8, None, None, unit="patient", number=1),
    "auroc": Figure(
        0.9, unit="patient", number=30, lacking="too few: 12 patients of a class, 20 needed"
    ),
    "undefined": Figure(None, lacking="no image holds a tumour"),
}  # fmt: skip

OPEN = {"flagged": COUNT}
OWN = ("copies", "coverage", "coverage_vgg", "dice", "auroc")


def parse_rules(text: str) -> list[Rule]:
    return parsed(text, dict.fromkeys(("undefined", "covrage", "not_measured", *OWN), SHARE) | OPEN)


def verdicts(rules: str) -> list[str]:
    return [row["verdict"] for row in judged(parse_rules(rules), FIGURES)]


def sentence(rule: str) -> str:
    [row] = judged(parse_rules(rule), FIGURES)
    return str(row["sentence"])


def test_the_unfavourable_bound_is_read() -> None:
    assert verdicts("copies<=0.008, copies<0.008") == [HOLDS, CANNOT_BE_SAID]
    assert verdicts("coverage>=0.58, coverage<=0.68") == [HOLDS, HOLDS]
    assert verdicts("coverage>=0.6, coverage<=0.65") == [CANNOT_BE_SAID, CANNOT_BE_SAID]
    assert verdicts("coverage>=0.64, coverage<=0.62") == [DOES_NOT_HOLD, DOES_NOT_HOLD]


def test_a_count_is_read_itself() -> None:
    assert verdicts("flagged<=3, flagged<3") == [HOLDS, DOES_NOT_HOLD]
    assert sentence("flagged<3") == "flagged<3: does not hold: 3."


def test_short_and_full_names_mean_the_same() -> None:
    assert verdicts("coverage>=0.58") == verdicts("coverage_vgg>=0.58") == [HOLDS]


def test_what_holds_names_value_and_bound() -> None:
    assert sentence("copies<=0.01") == "copies<=0.01: holds: 0, upper 95 % bound 0.008."


def test_too_few_images_name_the_number_needed() -> None:
    # From 0.63 to 0.58 with 300; to 0.6 it may be 0.03, 0.6 times as long: 300 / 0.36.
    assert sentence("coverage>=0.6") == (
        "coverage>=0.6: cannot be said: 0.63, lower 95 % bound 0.58; too few images of either set: "
        "about 834 would show it, if the value stayed; there are 300."
    )
    assert judged(parse_rules("coverage>=0.6"), FIGURES)[0]["needed"] == 834


def test_the_number_needed_is_enough_and_one_fewer_is_not() -> None:
    for number, shown in ((833, False), (834, True)):
        low = 0.63 - 0.05 * (300 / number) ** 0.5
        assert (low >= 0.6) is shown


def test_a_value_on_the_limit_is_shown_by_no_number() -> None:
    assert "no number of images of either set would show it" in sentence("coverage>=0.63")


def test_no_interval_names_what_is_lacking() -> None:
    assert "too few patients: 1 where at least 2 are needed" in sentence("dice>=0.7")
    assert "12 patients of a class, 20 needed" in sentence("auroc>=0.8")
    assert "no image holds a tumour" in sentence("undefined>=0.8")
    assert verdicts("dice>=0.7, auroc>=0.8, undefined>=0.8") == 3 * [CANNOT_BE_SAID]


def test_one_bound_alone_is_told_and_copies_are_no_copys() -> None:
    assert sentence("copies>=0") == (
        "copies>=0: cannot be said: 0; it has a 95 % bound on the upper side alone, and this rule "
        "reads the lower one."
    )
    assert [plural(one) for one in ("planted copy", "image of either set", "patient")] == [
        "planted copies", "images of either set", "patients",
    ]  # fmt: skip


def test_a_value_that_breaks_the_rule_breaks_it_without_an_interval() -> None:
    assert verdicts("dice>=0.9") == [DOES_NOT_HOLD]


def test_a_name_that_was_not_measured_lists_what_there_is() -> None:
    told = sentence("covrage>=0.6")
    assert "did not measure it. Did you mean coverage? There is copies; coverage_vgg" in told
    assert verdicts("covrage>=0.6") == [CANNOT_BE_SAID]


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ("copies<=0.01, flagged<=3", 0),
        ("copies<=0.01, flagged<3", 3),
        ("copies<=0.01, coverage>=0.6", 4),
        ("flagged<3, coverage>=0.6", 3),
        ("not_measured>0.1", 4),
    ],
)
def test_exit_status_is_that_of_the_worst(rules: str, status: int) -> None:
    found = judged(parse_rules(rules), FIGURES)
    assert exit_status(found) == status
    assert printed_lines(found)[0].endswith(f"(exit status {status})")


def test_nothing_required_is_nothing_printed() -> None:
    assert exit_status([]) == 0
    assert printed_lines([]) == []


def test_what_is_judged_is_plain_json_and_a_table() -> None:
    found = judged(parse_rules("copies<=0.01, coverage>=0.6, flagged<9"), FIGURES)
    assert json.loads(json.dumps(found)) == found
    assert printed_lines(found)[0] == "Required: 1 of 3 rules not met (exit status 4)"
    assert [len(row) for row in table_of(found).rows] == [5, 5, 5]


def test_one_patient_of_a_score_is_told_by_number() -> None:
    entry = {"value": 0.5, "low": None, "high": None, "no_interval": "one patient: no interval"}
    [row] = judged(parse_rules("dice>=0.4"), {"dice": of_entry(entry, "patient", 1, 2)})
    assert "1 where at least 2 are needed" in row["sentence"]
