"""Writes the whole report folder from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import clips_worst_first
from fada.eval.bench.undistilled import Search
from fada.eval.report.markdown import markdown_report
from fada.eval.report.page import write_page
from fada.eval.report.paper import paper_table
from fada.eval.report.plots import plot_quality_by_latency, plot_quality_by_nfe, plot_stages
from fada.eval.report.sheets import write_sheet
from fada.eval.report.sweeps import Sweep, followings, plot_sweep, sweep_table
from fada.eval.report.tables import all_tables, clips_table
from fada.eval.report.undistilled import search_table
from fada.files.whole import write_json, write_text

SWEEPS_VERSION = 1
"""Schema of ``sweeps.json``."""
DEFAULT_TITLE = "NFE, quality and latency"


def write_report(
    results: BenchResults,
    out: Path | None = None,
    *,
    title: str = DEFAULT_TITLE,
    sweeps: Sequence[Sweep] = (),
    searches: Mapping[str, Search] | None = None,
    page_clips: int = 8,
) -> dict[str, Path]:
    """Writes report.md, index.html, CSV files, plots and contact sheets; returns their paths by name.

    Args:
        results: of ``run_bench`` or ``BenchResults.load``; its folder holds the videos.
        out: where to; None means the results' own folder.
        title: the report's heading.
        sweeps: settings tried at several values, one plot each.
        searches: samplers of the undistilled baselines that were tried, by name of the baseline; None leaves them out.
        page_clips: how many clips the page and the sheets show, worst first.

    Raises:
        ValueError: neither ``out`` nor a results folder.
    """
    folder = out or results.folder
    if folder is None:
        raise ValueError("write_report: these results have no folder; give out=...")
    tables = all_tables(results) | {f"sweep-{sweep.name}": sweep_table(sweep) for sweep in sweeps}
    if searches is not None:
        tables["nodes"] = search_table(searches)
    paper = paper_table(results)
    written = {"results": folder / "results.json", "markdown": folder / "report.md"}
    results.save(written["results"])
    if sweeps:
        written["sweeps"] = folder / "sweeps.json"
        content = {"schema_version": SWEEPS_VERSION, "sweeps": [_in_json(sweep) for sweep in sweeps]}
        write_json(written["sweeps"], content)
    for name, table in {**tables, "clips": clips_table(results), "paper": paper}.items():
        written[f"csv-{name}"] = folder / "csv" / f"{name}.csv"
        write_text(written[f"csv-{name}"], table.csv())
    plots = _write_plots(results, folder, sweeps)
    shown = clips_worst_first(results)[:page_clips]
    sheets = {
        f"{clip}: truth and systems": path
        for clip in shown
        if (path := write_sheet(results, clip, folder / "sheets" / f"{clip}.png"))
    }
    pictures = [(caption, path.relative_to(folder).as_posix()) for caption, path in {**plots, **sheets}.items()]
    text = markdown_report(results, title, tables, paper, pictures)
    write_text(written["markdown"], text)
    written["page"] = write_page(results, folder / "index.html", title, tables, paper, plots, shown)
    return written | {f"picture-{path.stem}": path for path in (*plots.values(), *sheets.values())}


def _in_json(sweep: Sweep) -> dict[str, Any]:
    """A sweep, and how its other lines follow the first one."""
    found = {label: {name: asdict(each) for name, each in line.items()} for label, line in followings(sweep).items()}
    return asdict(sweep) | {"followings": found}


def _write_plots(results: BenchResults, folder: Path, sweeps: Sequence[Sweep]) -> dict[str, Path]:
    plots = folder / "plots"
    drawn = {
        "Quality against denoiser evaluations (NFE-D), with 95 % intervals over videos": plot_quality_by_nfe(
            results, plots / "quality-by-nfe"
        ),
        "Quality against latency, with the Pareto front": plot_quality_by_latency(
            results, plots / "quality-by-latency"
        ),
        "Where a clip's time goes": plot_stages(results, plots / "stages"),
    }
    written = {caption: path for caption, path in drawn.items() if path is not None}
    for sweep in sweeps:
        caption = f"Sweep of {sweep.label}{f', {sweep.caption}' if sweep.caption else ''}"
        written[caption] = plot_sweep(sweep, plots / f"sweep-{sweep.name}")
    return written
