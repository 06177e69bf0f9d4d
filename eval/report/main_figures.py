"""The few figures of a report that a model card shows: one system beside the reference, with how many videos."""

from __future__ import annotations

from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import counted_nfe, mean_of
from fada.eval.bench.timing import timing_summary
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.cells import interval_cell
from fada.eval.report.table import Cell, Table
from fada.files.markdown import markdown_text

MAIN = (
    "mouth_correlation_synth",
    "lip_correlation",
    "identity_error_synth",
    "latent_mse_reference",
    "latent_mse_truth",
    "psnr_truth",
    "ssim_truth",
)
BETTER = {"higher": "more is better", "lower": "less is better", "one": "best is 1", "zero": "best is 0"}


def system_of(results: BenchResults, model: str) -> str | None:
    """The system that a run's model is in its report (`fast` is `fast-6`); None where it was not measured."""
    return next((each["name"] for each in results.systems if each["name"].rpartition("-")[0] == model), None)


def main_figures(results: BenchResults, name: str) -> Table:
    """Cost and quality of a system beside the reference's: mean ± half the 95 % t-interval, N videos or rounds."""
    names = list(dict.fromkeys((results.reference, name)))
    rows = [[Cell("evaluations per clip"), *(_nfe(results, each) for each in names), _videos(results, name)]]
    times = [time for each in names if (time := timing_summary(results, each)) is not None]
    if len(times) == len(names):
        seconds = [Cell(f"{time['stages']['denoise']['p50']:.3f}") for time in times]
        rows.append([Cell("denoising, s per video, median"), *seconds, Cell(f"{times[-1]['runs']} rounds")])
    for metric in MAIN:
        means = [mean_of(results, each, metric) for each in names]
        counts = [mean.count for mean in means if mean is not None]
        if counts:
            cells = [interval_cell(mean, metric) if mean else Cell("-") for mean in means]
            rows.append([Cell(_label(metric)), *cells, Cell(f"{min(counts)} videos")])
    protocol = results.protocol
    note = (
        f"Measured by `fada bench`, recipe {markdown_text(str(protocol.get('recipe', '-')))}: "
        f"{len(protocol['clips'])} held-out clips of {protocol['identities']} identities, "
        f"{', '.join(protocol['resolution'])} pixels, seed {protocol['seed']}; ± is half the 95 % t-interval. "
        "Times are of one machine."
    )
    return Table("Figures", ("", *names, "N"), rows, (note,))


def _nfe(results: BenchResults, name: str) -> Cell:
    return Cell("/".join(map(str, counted_nfe(results, name))))


def _videos(results: BenchResults, name: str) -> Cell:
    return Cell(f"{len(results.rows_of(name))} videos")


def _label(metric: str) -> str:
    entry = CATALOGUE[metric]
    drawn = ", drawn world" if metric.endswith("_synth") else ""
    unit = f", {entry.unit}" if entry.unit else ""
    return f"{entry.label}{drawn}{unit} ({BETTER[entry.better]})"
