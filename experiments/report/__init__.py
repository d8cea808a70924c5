"""The report of a study: one self-contained HTML page, the same in Markdown, the numbers as CSV and JSON, the plots.

Whatever has run is reported; what has not is named at the top. The same directory gives the same bytes.
"""

from experiments.report.build import build_report, terminal_summary

__all__ = ["build_report", "terminal_summary"]
