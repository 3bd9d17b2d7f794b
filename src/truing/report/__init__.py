"""What is published of a run: the pages, their figures and tables, the plots for DVC, and the headline numbers."""

from __future__ import annotations

from truing.report.inputs import ReportInputs, StudyPage
from truing.report.pages import render
from truing.report.plots import plot_tables
from truing.report.summary import headline, headline_table

__all__ = ["ReportInputs", "StudyPage", "headline", "headline_table", "plot_tables", "render"]
