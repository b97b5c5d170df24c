"""The rows of a study of generators: one for each scenario and model."""

from collections.abc import Sequence

from studies.specification.specification import Specification
from studies.statistics.cells import Record


def groups_of(specification: Specification) -> list[tuple[str, str]]:
    """(scenario, model) of every row, in the study's order."""
    return [(s.id, m.name) for s in specification.scenarios for m in specification.models]


def title_of(specification: Specification, scenario: str, model: str) -> str:
    """What tells a row from the others: the model, the scenario, or both."""
    named = specification.scenario(scenario).name
    titled = specification.model(model).title
    if sum(not one.placebo for one in specification.scenarios) == 1:
        return f"{titled}, placebo" if specification.scenario(scenario).placebo else titled
    return named if len(specification.models) == 1 else f"{titled}, {named}"


def points_of(record: Record, measure: str) -> list[tuple[float, int, float]]:
    """(images seen, epoch from 1, distance) of every measurement."""
    rows = record["measured"].get(f"val/{measure}", [])
    return [(images_seen, int(epoch) + 1, value) for images_seen, epoch, value in rows]


def of_group(records: Sequence[Record], scenario: str, model: str) -> list[Record]:
    """The finished cells of one row, by their seeds."""
    found = [r for r in records if (r["scenario"], r["model"]) == (scenario, model)]
    return sorted(found, key=lambda record: record["seed"])
