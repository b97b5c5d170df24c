"""Which comparisons a study makes, and which of them are in Holm's family."""

import re

import pytest

from provenance import UserError
from studies.specification.claims import claims
from studies.specification.read import parse_specification


@pytest.fixture
def four(plan: dict) -> dict:
    """Scenarios 1 to 4 of the KiTS19 study, the synthetic ones without controls."""
    augmented = {"arguments": ["--data.augmentation", "geometric"]}
    plan["scenarios"] = [
        {"id": 1},
        {"id": 2, **augmented},
        {"id": 3, "synthetic": True},
        {"id": 4, "synthetic": True, **augmented},
    ]
    plan["extra_comparisons"] = [[4, 2]]
    return plan


def made(plan: dict) -> dict[str, list[tuple]]:
    found: dict[str, list[tuple]] = {}
    for claim in claims(parse_specification(plan, "study.yaml")):
        found.setdefault(claim.role, []).append((claim.scenario, *claim.against))
    return found


def test_without_controls_all_comparisons_are_one_family(four: dict) -> None:
    assert made(four) == {"primary": [("2", "1"), ("3", "1"), ("4", "1"), ("4", "2")]}


def test_a_scenario_with_controls_is_one_claim_against_both(four: dict) -> None:
    four["scenarios"][2]["controls"] = four["scenarios"][3]["controls"] = True
    four["placebo"] = True
    assert made(four) == {
        "primary": [("2", "1"), ("3", "3_steps", "1"), ("4", "4_steps", "2")],
        "exploratory": [("4", "1")],
        "placebo": [("placebo", "1")],
    }


def test_the_yaml_names_the_family(four: dict) -> None:
    four |= {"primary": [3, [4, 2]], "placebo": True}
    assert made(four) == {
        "primary": [("3", "1"), ("4", "2")],
        "exploratory": [("2", "1"), ("4", "1")],
        "placebo": [("placebo", "1")],
    }
    four["scenarios"][2]["controls"] = True
    assert made(four)["primary"] == [("3", "3_steps", "1"), ("4", "2")]


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        ([], "primary is empty"),
        ([9], "primary: there is no scenario '9'"),
        ([1], "primary: 1 is the baseline"),
        ([[4, 2], [2, 4]], "primary: ['2', '4'] and ['4', '2'] are one difference"),
        ([2, [1, 2]], "primary: ['1', '2'] and ['2', '1'] are one difference"),
        ([[4, 4]], "primary: ['4', '4'] is no scenario and no pair of two"),
        ([["placebo", 1]], "the placebo is shown beside the others, and decides nothing"),
        (3, "primary: expected scenarios, or pairs of them, such as [3, [4, 2]]"),
    ],
)
def test_what_cannot_be_primary_is_named(four: dict, primary: object, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        made(four | {"primary": primary, "placebo": True})
