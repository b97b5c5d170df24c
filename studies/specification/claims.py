"""What a study claims at most: which scenario against which, and which of it decides.

A scenario with controls is compared with all of them, and does better or worse only where it does
against each. Two such comparisons need no correction, since both must hold (an intersection-union
test: Berger 1982); several claims do, by Holm's method.
"""

from dataclasses import dataclass
from typing import Literal

from studies.specification.specification import Specification

Role = Literal["primary", "exploratory", "placebo"]


@dataclass(frozen=True)
class Claim:
    """A scenario against others.

    Attributes:
        scenario: What is tried.
        against: All that it must beat, or be worse than.
        role: Whether it belongs to Holm's family; what a study explores besides; or the placebo,
            of which is known that nothing made its difference.
    """

    scenario: str
    against: tuple[str, ...]
    role: Role


def claims(specification: Specification) -> list[Claim]:
    """Every comparison of a study, for each of its models, in the order of the report.

    By default the family holds every scenario against its controls or, where it has none, against
    the baseline (of its size), and the extra pairs. `primary` names others: a scenario, or a pair.
    Controls are compared with nothing by themselves. A scenario with controls is compared with the
    baseline too, where that is none of them; so are the placebos, and the baseline of another size.
    These are never in the family by default.
    """
    baseline = specification.baseline_scenario
    family: list[tuple[str, tuple[str, ...]]] = []
    explored: list[tuple[str, tuple[str, ...]]] = []
    for scenario in specification.scenarios:
        if scenario.id == baseline or scenario.placebo or scenario.control_of:
            continue
        assert isinstance(scenario.controls, tuple)  # `with_arms` put the scenarios there
        against = specification.baseline_of(scenario)
        if against == scenario.id:  # the baseline of another size: more patients are no method
            explored.append((scenario.id, (baseline,)))
            continue
        family.append((scenario.id, scenario.controls or (against,)))
        if scenario.controls and against not in scenario.controls:
            explored.append((scenario.id, (against,)))
    for treated, control in specification.extra_comparisons:
        if not any(one == treated and control in against for one, against in family):
            family.append((treated, (control,)))
    if specification.primary is not None:
        named = [_named(specification, one) for one in specification.primary]
        explored = [one for one in family + explored if one not in named]
        family = list(dict.fromkeys(named))
    placebos = [
        (one.id, specification.baseline_of(one)) for one in specification.scenarios if one.placebo
    ]
    explored = [one for one in dict.fromkeys(explored) if one not in family]
    return [
        *(Claim(*one, "primary") for one in family),
        *(Claim(*one, "exploratory") for one in explored),
        *(Claim(placebo, (again,), "placebo") for placebo, again in placebos),
    ]


def _named(specification: Specification, primary: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if len(primary) == 2:
        return primary[0], primary[1:]
    controls = specification.scenario(primary[0]).controls
    assert isinstance(controls, tuple)
    against = specification.baseline_of(specification.scenario(primary[0]))
    return primary[0], controls or (against,)
