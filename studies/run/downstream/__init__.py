"""A study of downstream models: do the images of a generator help them?

Its jobs are cells, each the training of one model and its evaluation, and for the scenarios with
synthetic images a generator per seed (or one per seed and class), trained before them.
"""

from studies.run.downstream.from_data import ready
from studies.run.downstream.jobs import perform, settings

__all__ = ["perform", "ready", "settings"]
