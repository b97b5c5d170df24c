"""The language of --require."""

import pytest

from gates.names import COUNT, DIFFERENCE, NUMBER, OF_ANY, POSITIVE, SHARE, kind_of
from gates.rules import Rule
from gates.rules import parse_rules as parsed
from provenance import UserError

KNOWN = OF_ANY | dict.fromkeys(("a", "b", "x"), NUMBER) | {"found:*": SHARE}


def parse_rules(text: str | None) -> list[Rule]:
    return parsed(text, KNOWN)


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "flagged<=50 %",
            "--require flagged<=50 %: flagged is a count, and a percentage of it means nothing. "
            "Its share of the images is flagged_share: flagged_share<=50 %.",
        ),
        ("num_synthetic>=10%", "is a count, and a percentage of it means nothing. Give the number"),
        ("fid<=20 %", "fid is a number, and a percentage of it means nothing"),
        ("copies<=-1", "copies<=-1: nothing satisfies it. copies is a share, from 0 to 1."),
        ("copies<0", "nothing satisfies it"),
        ("coverage>=60", "coverage>=60: nothing satisfies it. coverage is a share, from 0 to 1."),
        ("coverage>=101 %", "nothing satisfies it"),
        ("coverage>1", "nothing satisfies it"),
        ("flagged<0", "flagged<0: nothing satisfies it. flagged is a count, at least 0."),
        ("auroc_minus:other>=1.5", "a difference of shares, from -1 to 1"),
        ("copys<=0.01", "there is no number 'copys'. Did you mean copies?"),
        ("covrage>=0.6", "Did you mean coverage?"),
        ("found:nosie 0.2>=0.9", "Did you mean found:noise 0.2?"),
        ("zzz<=1", "there is no number 'zzz'. `evaluate.py gate DIR` names the numbers"),
    ],
)
def test_a_rule_that_nothing_satisfies_is_refused(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        parsed(text, OF_ANY)
    assert told in str(error.value)


def test_limits_at_the_ends_are_rules() -> None:
    told = "copies<=0, coverage>=1, flagged<=0, kernel<=-0.1, found:noise 0.2>=90 %, copies>=0"
    assert len(parsed(told, OF_ANY)) == 6


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flagged", COUNT),
        ("found:rebuilt from 15 principal components", SHARE),
        ("membership_auc:random_vgg", SHARE),
        ("dice_left kidney", SHARE),
        ("dice_tumour_lost:jpeg", DIFFERENCE),
        ("diversity_random_vgg:real", POSITIVE),
        ("*", None),
        ("found:nothing", None),
    ],
)
def test_names_are_known_before_anything_is_measured(name: str, kind: object) -> None:
    assert kind_of(name, OF_ANY) == kind
