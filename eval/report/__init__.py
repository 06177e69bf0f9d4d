"""The report: ``results.json`` as Markdown, CSV, plots, contact sheets and one self-contained HTML page."""

from fada.eval.report.sweeps import Sweep, plot_sweep, sweep_from_results
from fada.eval.report.write import write_report

__all__ = ["Sweep", "plot_sweep", "sweep_from_results", "write_report"]
