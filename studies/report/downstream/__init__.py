"""The report of a study of downstream models."""

from studies.report.downstream.analysis import analyse
from studies.report.downstream.page import TITLES, page_figures, page_tables

__all__ = ["TITLES", "analyse", "page_figures", "page_tables"]
