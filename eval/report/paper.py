"""A run in the layout of the paper's Table 1, with the paper's own figures in columns of their own.

The figures are quoted from FADA (arXiv 2412.16915), Table 1 and, for the teacher, Tables 2 to 4: other data, weights
and often other metrics than the run's. The ablations' rows and figures (Tables 2 to 4) lie with their recipes.
"""

from __future__ import annotations

from dataclasses import dataclass

from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import counted_nfe, mean_of, metric_names, set_value, system_names
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.cells import NULL, distance_label, interval_cell, metric_head
from fada.eval.report.table import Cell, Table

Figures = tuple[float, float, float, float, float]
COLUMNS = ("IQA ↑", "Sync-D ↓", "FVD-R ↓", "FID ↓", "E-FID ↓")
MEASURED_BY: dict[str, tuple[str, ...]] = {
    "IQA ↑": ("iqa", "niqe"),
    "Sync-D ↓": ("sync_d", "mouth_correlation_synth", "lip_correlation"),
    "FVD-R ↓": ("fvd_r", "fvd_i3d"),
    "FID ↓": ("fid", "fd_latent_synth", "fd_latent"),
    "E-FID ↓": ("efid", "efid_blendshape", "aperture_velocity_distance_synth"),
}
"""What stands in each column: the first that the run measured. All but the first are stand-ins and named as such."""
TITLE = "In the layout of the paper's Table 1"
NOTE = (
    'Columns that begin with "paper" are quoted from the FADA paper (Table 1; the teacher\'s row from Tables 2 to 4, '
    "HDTF only; ± as printed there): other data, weights and metrics than this run's, so no figure of theirs may be "
    "set against one of ours."
)


@dataclass(frozen=True)
class Quoted:
    """A row of the paper's Table 1; the columns are `COLUMNS`, None where the paper has no figures."""

    method: str
    nfe: int | None
    celebv: Figures | None
    hdtf: Figures
    iqa_interval: tuple[float, float] | None = None
    """Half of the 95 % intervals that the paper prints beside IQA, on CelebV-HQ and HDTF."""


TEACHER = Quoted("teacher, trained on A", 75, None, (3.998, 7.849, 18.27, 18.49, 1.365))
BALANCED = Quoted(
    "Ours-Balanced", 18, (3.588, 8.998, 50.36, 33.67, 2.202), (3.951, 7.925, 13.32, 18.39, 1.362), (0.091, 0.082)
)
FAST = Quoted("Ours-Fast", 6, (3.550, 8.746, 54.69, 35.01, 2.604), (3.927, 7.996, 16.67, 18.51, 1.635), (0.093, 0.081))
OTHERS = (
    Quoted("SadTalker", None, (2.953, 8.765, 171.8, 36.64, 2.248), (3.435, 7.870, 24.93, 25.35, 1.559), (0.086, 0.069)),
    Quoted("Hallo", 80, (3.505, 9.079, 53.99, 35.96, 2.426), (3.922, 7.917, 21.71, 20.15, 1.337), (0.091, 0.079)),
    Quoted("EchoMimic", 60, (3.307, 10.37, 54.71, 35.37, 3.018), (3.994, 9.391, 18.71, 19.01, 1.328), (0.104, 0.083)),
    Quoted("V-Express", 50, (2.946, 9.415, 117.8, 65.09, 2.414), (3.482, 7.382, 48.03, 30.91, 1.506), (0.123, 0.071)),
)


def paper_table(results: BenchResults) -> Table:
    """The run's systems in the paper's columns, each beside the paper's row that it stands for; then the others."""
    chosen = [_measured(results, column) for column in COLUMNS]
    ours = ("NFE-D", *(_head(column, metric) for column, metric in zip(COLUMNS, chosen, strict=True)))
    theirs = [f"paper, {data}: {column}" for data in ("CelebV-HQ", "HDTF") for column in COLUMNS]
    rows = []
    for name in system_names(results):
        quoted = _counterpart(results, name)
        cells = [_ours(results, name, metric) for metric in chosen]
        nfe = counted_nfe(results, name)
        rows.append([Cell(name), Cell("/".join(map(str, nfe)), float(nfe[0])), *cells, *_theirs(quoted)])
    for quoted in OTHERS:
        rows.append([Cell(f"({quoted.method})"), *[Cell("")] * len(ours), *_theirs(quoted)])
    columns = ("method", *ours, "paper: row", "paper: NFE-D", *theirs)
    stand_ins = [column for column, metric in zip(COLUMNS, chosen, strict=True) if metric != MEASURED_BY[column][0]]
    notes = [NOTE]
    if stand_ins:
        notes.append(f"Not measured in this run: {', '.join(stand_ins)}; a stand-in bears its own name.")
    return Table(TITLE, columns, rows, notes)


def _counterpart(results: BenchResults, name: str) -> Quoted | None:
    """The paper's row that a system stands for: its teacher, balanced or fast student, at the paper's evaluations."""
    system, nfe = results.system(name), counted_nfe(results, name)
    rows = [TEACHER] if system["is_reference"] else [BALANCED, FAST] if system["is_candidate"] else []
    return next((row for row in rows if nfe == [row.nfe]), None)


def _measured(results: BenchResults, column: str) -> str | None:
    """The first metric for a column that some system has a value of."""
    means = set(metric_names(results))
    sets = {row["metric"] for row in results.set_metrics if row["value"] is not None}
    for metric in MEASURED_BY[column]:
        if metric in sets:
            return metric
        if metric in means and any(mean_of(results, name, metric) for name in system_names(results)):
            return metric
    return None


def _head(column: str, metric: str | None) -> str:
    if metric is None or metric == MEASURED_BY[column][0]:
        return column
    own = metric_head(metric) if metric in CATALOGUE else f"{distance_label(metric)} ↓"
    return f"{own} (for {column[:-2]})"


def _ours(results: BenchResults, name: str, metric: str | None) -> Cell:
    if metric is None:
        return NULL
    if metric in CATALOGUE:
        return interval_cell(mean_of(results, name, metric), metric)
    value = set_value(results, name, metric)
    return NULL if value is None else Cell(f"{value:.4g}", value)


def _theirs(quoted: Quoted | None) -> list[Cell]:
    if quoted is None:
        return [Cell("")] * (2 + 2 * len(COLUMNS))
    cells = [Cell(quoted.method), Cell("-") if quoted.nfe is None else Cell(str(quoted.nfe), quoted.nfe)]
    for place, figures in enumerate((quoted.celebv, quoted.hdtf)):
        if figures is None:
            cells += [Cell("")] * len(COLUMNS)
            continue
        half = "" if quoted.iqa_interval is None else f" ± {quoted.iqa_interval[place]:.3f}"
        cells.append(Cell(f"{figures[0]:.3f}{half}", figures[0]))
        cells += [Cell(f"{value:#.4g}", value) for value in figures[1:]]
    return cells
