"""The jobs of a study by name: its cells, and the generators that they need."""

from dataclasses import dataclass

from studies.specification.specification import Model, Scenario, Specification


@dataclass(frozen=True)
class Cell:
    """One run of one model in one scenario with one seed."""

    scenario: Scenario
    model: Model
    seed: int

    @property
    def name(self) -> str:
        """Such as `1__unet_light__seed0`; also the name of its files."""
        return f"{self.scenario.id}__{self.model.name}__seed{self.seed}"


def cells_of(specification: Specification) -> list[Cell]:
    """Every cell, seed by seed, so that a whole table exists as early as possible."""
    return [
        Cell(scenario, model, seed)
        for seed in specification.seeds
        for scenario in specification.scenarios
        for model in specification.models
    ]


def generator_name(seed: int) -> str:
    """Name of a seed's generator among the jobs."""
    return f"generator__seed{seed}"
