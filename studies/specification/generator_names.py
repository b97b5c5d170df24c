"""Names of a study's generators: among its jobs, of their folders, and in its YAML."""

import re
from typing import NamedTuple

# Of two parts with "__" between them, where a cell's name has three: no cell can be called so.
_JOB = re.compile(
    r"generator(?:_(?P<generator>[^_].*?))?__seed(?P<seed>\d+)(?:__size(?P<size>.+))?"
)


class GeneratorJob(NamedTuple):
    """A generator of one seed, on all training patients or a share of them: one job of a study.

    Attributes:
        generator: Its name under `generators` of the YAML; "" of a study's only `generator`.
        seed: The study's, or the placebo's.
        size: Share of the training patients that it sees; None: all.
    """

    generator: str
    seed: int
    size: float | None = None

    @property
    def name(self) -> str:
        """Such as `generator__seed0`, or `generator_dcgan__seed0` of one that has a name."""
        named = f"_{self.generator}" if self.generator else ""
        return f"generator{named}__seed{self.seed}{self._share}"

    @property
    def set_name(self) -> str:
        """Such as `seed_0` or `dcgan__seed_0`: of its folder and its synthetic set."""
        named = f"{self.generator}__" if self.generator else ""
        return f"{named}seed_{self.seed}{self._share}"

    @property
    def _share(self) -> str:
        return "" if self.size in (None, 1) else f"__size{self.size:g}"


def generator_job(name: str) -> GeneratorJob | None:
    """The generator whose job has this name; None: a cell, or something else, has it."""
    found = _JOB.fullmatch(name)
    if found is None or "__" in (found["generator"] or ""):
        return None
    size = float(found["size"]) if found["size"] else None
    return GeneratorJob(found["generator"] or "", int(found["seed"]), size)


def is_set_of(generator: str, set_name: str) -> bool:
    """Whether a synthetic set of this name is of a generator."""
    return set_name.startswith(f"{generator}__seed_" if generator else "seed_")


def key_of_generator(name: str) -> str:
    """Where a generator stands in the YAML: `generator`, or such as `generators.dcgan`."""
    return f"generators.{name}" if name else "generator"
