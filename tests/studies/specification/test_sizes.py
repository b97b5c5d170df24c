"""`sizes`: a scenario for each share of the patients, each against the baseline of its size."""

import re
from typing import Any

import pytest

from provenance import UserError
from studies.specification.claims import claims
from studies.specification.generator_names import GeneratorJob, generator_job
from studies.specification.listing import size_of
from studies.specification.read import parse_specification
from studies.specification.specification import Specification

GEOMETRIC = ["--data.augmentation", "geometric"]


@pytest.fixture
def methods(plan: dict) -> dict:
    """None, geometric and a GAN at two sizes, and one operation explored."""
    return plan | {
        "seeds": [0, 1, 2],
        "arguments": ["--data.images_per_epoch", 64],
        "scenarios": [
            {"id": "none", "sizes": [0.25, 1]},
            {"id": "geo", "name": "geometric", "sizes": [0.25, 1], "arguments": GEOMETRIC},
            {"id": "gan", "name": "GAN", "sizes": [0.25, 1], "synthetic": True, "controls": True,
             "arguments": [*GEOMETRIC, "--data.synthetic_share", 1]},
            {"id": "x_none", "name": "none", "sizes": [0.1], "num_seeds": 2},
            {"id": "x_flip", "sizes": [0.25], "num_seeds": 2,
             "arguments": ["--data.augmentation", "[horizontal_flip]"]},
        ],
        "baseline_scenario": "none_100",
        "placebo": True,
        "primary": ["geo_25", "gan_25", "geo_100", "gan_100"],
    }  # fmt: skip


def parsed(plan: dict) -> Specification:
    specification = parse_specification(plan, "study.yaml")
    assert parse_specification(specification.as_dict(), "study.json") == specification
    return specification


def test_each_size_is_a_scenario_with_controls_and_a_placebo_of_its_own(methods: dict) -> None:
    specification = parsed(methods)
    assert [one.id for one in specification.scenarios] == [
        *("none_25", "none_100", "geo_25", "geo_100", "gan_25", "gan_25_real", "gan_100"),
        *("gan_100_real", "x_none_10", "x_flip_25", "placebo", "placebo_25"),
    ]
    assert specification.scenario("gan_25").controls == ("geo_25", "gan_25_real")
    assert specification.scenario("gan_25_real").size == 0.25
    assert [c.seed for c in specification.cells() if c.scenario.id == "x_flip_25"] == [0, 0, 1, 1]
    assert "(12 scenarios x 2 models x 3 seeds)" in size_of(specification)
    assert "6 generators" in size_of(specification)


def test_a_method_is_tested_against_none_of_its_size(methods: dict) -> None:
    made: dict[str, list[tuple[str, ...]]] = {}
    for claim in claims(parsed(methods)):
        made.setdefault(claim.role, []).append((claim.scenario, *claim.against))
    assert made == {
        "primary": [
            ("geo_25", "none_25"), ("gan_25", "geo_25", "gan_25_real"),
            ("geo_100", "none_100"), ("gan_100", "geo_100", "gan_100_real"),
        ],
        "exploratory": [
            ("x_flip_25", "none_25"), ("none_25", "none_100"), ("gan_25", "none_25"),
            ("gan_100", "none_100"), ("x_none_10", "none_100"),
        ],
        "placebo": [("placebo", "none_100"), ("placebo_25", "none_25")],
    }  # fmt: skip


def test_all_scenarios_of_a_seed_see_the_same_patients(methods: dict) -> None:
    specification = parsed(methods)
    flags = {(c.scenario.id, c.seed): specification.flags_of(c) for c in specification.cells()}
    for name, seed, patients in (
        ("none_25", 1, 1), ("geo_25", 1, 1), ("gan_25_real", 1, 1), ("x_flip_25", 1, 1),
        ("none_25", 2, 2), ("placebo_25", 10_002, 2),
    ):  # fmt: skip
        words = ["--data.fraction_of_patients", "0.25", "--data.patients_seed", str(patients)]
        assert flags[name, seed][-4:] == words
    assert "--data.fraction_of_patients" not in flags["geo_100", 0]


def test_a_generator_is_of_a_seed_and_a_size(methods: dict) -> None:
    specification = parsed(methods)
    needed = {c.scenario.id: specification.generator_of(c) for c in specification.cells()[:24]}
    assert needed["gan_25"] == needed["gan_25_real"] == "generator__seed0__size0.25"
    assert needed["gan_100"] == "generator__seed0"
    assert needed["geo_25"] is None
    assert generator_job("generator__seed0__size0.25") == GeneratorJob("", 0, 0.25)
    assert GeneratorJob("", 7, 1.0).name == "generator__seed7"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sizes": [0]}, "scenario geo_0: sizes are shares .* found 0"),
        ({"sizes": [1.5]}, "sizes are shares of the training patients, above 0 and at most 1"),
        ({"num_seeds": 4}, "scenario geo_25: num_seeds is 4, expected 1 to 3"),
        ({"num_seeds": 0}, "num_seeds is 0, expected 1 to 3"),
        (
            {"arguments": ["--data.fraction_of_patients", 0.5]},
            r"--data.fraction_of_patients: write `sizes: \[0.25\]` beside a scenario",
        ),
        ({"arguments": ["--data.patients_seed=3"]}, "--data.patients_seed is set by the study"),
        ({"sizes": [0.25, 0.25]}, "scenarios holds geo_25 more than once"),
        ({"sizes": "all"}, "sizes: expected numbers"),
        ({"num_seeds": "two"}, "num_seeds: expected a whole number, found 'two'"),
    ],
)
def test_what_is_no_size_is_refused(methods: dict, change: dict[str, Any], told: str) -> None:
    methods["scenarios"][1] |= change
    with pytest.raises(UserError) as error:
        parsed(methods)
    assert re.search(told, str(error.value)), error.value
