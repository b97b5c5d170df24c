"""The two kinds of study, of downstream models and of generators, and the functions of each."""

from typing import Any, Protocol

from studies.run import downstream, generators
from studies.run.fingerprint import Inputs
from studies.run.folder import Study
from studies.run.job import Job
from studies.specification.specification import Specification


class StudyKind(Protocol):
    """What a kind of study decides for itself; a module is one, by these functions."""

    def ready(self, study: Study) -> Study:
        """The study with what its YAML leaves to the data.

        Raises:
            UserError: Something is given or lacking that would be found out only after a training.
        """

    def settings(self, specification: Specification, name: str, inputs: Inputs) -> dict[str, Any]:
        """All that a job's outcome depends on, without any path of this machine."""

    def perform(self, job: Job) -> None:
        """Do a job: train, make images or score, and write its JSON."""


KINDS: dict[str, StudyKind] = {"downstream": downstream, "generators": generators}
