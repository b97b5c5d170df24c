"""The report of a study of generators."""

from studies.report.generators.analysis import analyse
from studies.report.generators.page import TITLES, page_figures, page_tables

__all__ = ["TITLES", "analyse", "page_figures", "page_tables"]
