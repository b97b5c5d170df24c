"""The language of --require."""

import pytest

from gates.rules import Rule, parse_rules
from provenance import UserError


def test_rules_are_read_with_and_without_blanks() -> None:
    told = " copies<=0.01,coverage >= 0.6 , flagged< 3,auroc>.9"
    assert parse_rules(told) == [
        Rule("copies", "<=", 0.01),
        Rule("coverage", ">=", 0.6),
        Rule("flagged", "<", 3.0),
        Rule("auroc", ">", 0.9),
    ]


def test_no_text_is_no_rule() -> None:
    assert parse_rules(None) == []


def test_a_percentage_is_a_share() -> None:
    assert parse_rules("copies<=1 %, coverage>=60%") == [
        Rule("copies", "<=", 0.01),
        Rule("coverage", ">=", 0.6),
    ]


def test_names_may_hold_blanks_and_commas() -> None:
    assert parse_rules("found:contrast 0.7, brighter>=0.9, copies<=1e-2") == [
        Rule("found:contrast 0.7, brighter", ">=", 0.9),
        Rule("copies", "<=", 0.01),
    ]


@pytest.mark.parametrize("rule", ["copies<=0.01", "coverage>=0.6", "a<2", "b>-1.5"])
def test_a_rule_is_written_as_it_is_typed(rule: str) -> None:
    assert str(parse_rules(rule)[0]) == rule


@pytest.mark.parametrize(
    ("sign", "below", "at", "above", "upper"),
    [
        ("<=", True, True, False, True),
        ("<", True, False, False, True),
        (">=", False, True, True, False),
        (">", False, False, True, False),
    ],
)
def test_signs(sign: str, below: bool, at: bool, above: bool, upper: bool) -> None:
    [rule] = parse_rules(f"x{sign}1")
    assert [rule.allows(value) for value in (0.9, 1.0, 1.1)] == [below, at, above]
    assert rule.reads_upper is upper


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("copies", "'copies' is no rule of a name"),
        ("copies=0.01", "'copies=0.01' is no rule"),
        ("copies==0.01", "'copies==0.01' is no rule"),
        ("<=0.01", "'<=0.01' is no rule"),
        ("copies<=0.01, coverage", "'coverage' is no rule"),
        ("copies<=", "'' of the rule 'copies<=' is no number"),
        ("copies<=few", "'few' of the rule 'copies<=few' is no number"),
        ("copies<=nan", "'nan' of the rule 'copies<=nan' is no number"),
        ("copies<=inf", "is no number"),
        ("0.1<=copies<=0.2", "is no rule"),
        ("", "holds no rule"),
        ("  ", "holds no rule"),
    ],
)
def test_what_is_no_rule_is_named(text: str, named: str) -> None:
    with pytest.raises(UserError) as error:
        parse_rules(text)
    assert named in str(error.value)
    assert "'copies<=0.01, coverage>=0.6'" in str(error.value)
    assert str(error.value).startswith("--require")
