"""The report's tables: goals, cost, quality, differences, nulls, and the paper's own figures apart."""

from __future__ import annotations

from collections.abc import Sequence

from fada.eval.bench.controls import CONTROLS
from fada.eval.bench.results import BenchResults
from fada.eval.bench.rivals import contests
from fada.eval.bench.summary import (
    control_names,
    counted_nfe,
    differences_from_reference,
    mean_of,
    metric_names,
    nfe_per_second,
    system_names,
    why_null,
)
from fada.eval.bench.timing import timing_summary
from fada.eval.comparison.verdicts import Verdict, gate_word, instrument_checks, verdicts
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.cells import NULL, distance_label, interval_cell, metric_head
from fada.eval.report.provenance import metric_protocols, protocols_table, provenance_table, rounds_note
from fada.eval.report.table import Cell, Table
from fada.eval.report.undistilled import headroom_table, rivals_table
from fada.eval.statistics.intervals import SIGNIFICANCE, holm, mean_p_value, t_interval


def all_tables(results: BenchResults) -> dict[str, Table]:
    """Every table by a short name that also serves as file name and anchor; empty ones left out."""
    tables = {
        "goals": verdict_table("Goals", verdicts(results)),
        "headroom": headroom_table(results),
        "rivals": rivals_table(contests([results])),
        "checks": verdict_table("Do the instruments work?", instrument_checks(results)),
        "systems": systems_table(results),
        "cost": cost_table(results),
        "provenance": provenance_table(results),
        "stages": stages_table(results),
        "quality": quality_table(results),
        "differences": differences_table(results),
        "distributions": distributions_table(results),
        "metrics": metrics_table(results),
        "protocols": protocols_table(results),
        "nulls": nulls_table(results),
    }
    return {name: table for name, table in tables.items() if table.rows}


def verdict_table(title: str, judged: Sequence[Verdict]) -> Table:
    """Figure, limit and whether it was reached."""
    tones = {True: "good", False: "bad", None: "unknown"}
    rows = [
        [
            Cell(verdict.goal),
            Cell(verdict.system),
            Cell(verdict.word, tone=tones[verdict.is_reached]),
            NULL if verdict.figure is None else Cell(f"{verdict.figure:.3g}", verdict.figure),
            Cell(f"{verdict.comparison} {verdict.limit:.3g}"),
            Cell(verdict.detail),
        ]
        for verdict in judged
    ]
    return Table(title, ("goal", "system", "reached", "figure", "limit", "numbers"), rows)


def systems_table(results: BenchResults) -> Table:
    """What each row of the report is."""
    rows = [[Cell(system["name"]), Cell(system["description"]), Cell(_notes(system))] for system in results.systems]
    rows += [[Cell(name), Cell(CONTROLS.get(name, "")), Cell("")] for name in control_names(results)]
    return Table("Systems and controls", ("system", "what it is", "notes"), rows)


def cost_table(results: BenchResults) -> Table:
    """Evaluations, latency, throughput and memory, with the quality gate beside the speed."""
    rows = [row for name in system_names(results) if (row := _cost_row(results, name))]
    columns: tuple[str, ...] = (
        "system",
        "quality gate",
        "NFE-D",
        "expected",
        "NFE-D/s of video",
        "p50 s",
        "p90 s",
        "frames/s",
        "real-time factor",
    )
    columns += ("first frame s", "denoise p50 s", "denoise speed-up", "whole speed-up", "peak MiB")
    kinds = {row["memory_kind"] for row in results.timing}
    notes = [f"Seconds per clip; peak memory of: {', '.join(sorted(kinds))} (process: the whole resident set)."]
    rough = rounds_note(results)
    notes += [rough] if rough else []
    if not all(system.get("is_timed", True) for system in results.systems):
        notes.append("Rows without times were left out of the rounds: they take what rows of as many evaluations take.")
    return Table("Cost", columns, rows, notes if kinds else ())


def _cost_row(results: BenchResults, name: str) -> list[Cell]:
    counted, expected = counted_nfe(results, name), results.system(name)["nfe_expected"]
    agrees = expected is None or counted == [expected]
    gate = gate_word(results, name)
    row = [
        Cell(name),
        Cell(gate, tone={"pass": "good", "FAIL": "bad"}.get(gate.split(":")[0], "")),
        Cell("/".join(map(str, counted)), float(counted[0]), "" if agrees else "bad"),
        Cell("-") if expected is None else Cell(str(expected), float(expected)),
        _number(nfe_per_second(results, name), 1),
    ]
    summary = timing_summary(results, name)
    if summary is None:
        return [*row, *[NULL] * 9]
    memory = summary["peak_memory_bytes"]
    return [
        *row,
        _number(summary["seconds"]["p50"], 3),
        _number(summary["seconds"]["p90"], 3),
        _number(summary["frames_per_second"], 1),
        _number(summary["real_time_factor"], 3),
        _number(summary["first_frame_seconds"], 3),
        _number(summary["stages"]["denoise"]["p50"], 3),
        _number(summary["denoise_speedup"], 2, "x"),
        _number(summary["whole_speedup"], 2, "x"),
        _number(None if memory is None else memory / 2**20, 0),
    ]


def stages_table(results: BenchResults) -> Table:
    """Where a clip's time goes: median seconds per stage and its share of the whole."""
    summaries = {name: timing_summary(results, name) for name in system_names(results)}
    timed = {name: summary for name, summary in summaries.items() if summary is not None}
    stages = list(dict.fromkeys(stage for summary in timed.values() for stage in summary["stages"]))
    rows = []
    for name, summary in timed.items():
        whole = summary["seconds"]["p50"]
        times = [summary["stages"].get(stage, {"p50": 0.0})["p50"] for stage in stages]
        times.append(max(0.0, whole - sum(times)))
        shares = [Cell(f"{seconds:.3f} ({seconds / whole:.0%})", seconds) for seconds in times]
        rows.append([Cell(name), *shares, _number(whole, 3)])
    return Table("Stages, p50 seconds per clip (share)", ("system", *stages, "other", "whole"), rows)


def quality_table(results: BenchResults) -> Table:
    """Mean over videos with 95 % t-interval, systems first, then controls."""
    metrics = metric_names(results)
    rows = [
        [Cell(name), *(interval_cell(mean_of(results, name, metric), metric) for metric in metrics)]
        for name in [*system_names(results), *control_names(results)]
    ]
    protocols = metric_protocols(results)
    rows.append([Cell("(protocol)"), *(Cell(protocols[metric].fingerprint) for metric in metrics)])
    count = len(results.rows_of(results.reference))
    return Table(
        "Quality",
        ("system", *(metric_head(metric) for metric in metrics)),
        rows,
        (f"Mean over {count} videos ± half the 95 % t-interval; ↑ more is better, ↓ less, →1 and →0 nearer to that.",),
    )


def differences_table(results: BenchResults) -> Table:
    """Paired differences to the reference; a star marks those that are shown after correction for all of them."""
    metrics = [metric for metric in metric_names(results) if metric != "latent_mse_reference"]
    names = [name for name in system_names(results) if name != results.reference]
    differences = [differences_from_reference(results, name, metric) for name in names for metric in metrics]
    p_values = holm([mean_p_value(found) for found in differences])
    cells = []
    for place, (found, p_value) in enumerate(zip(differences, p_values, strict=True)):
        cell = interval_cell(t_interval(found), metrics[place % len(metrics)], signed=True)
        is_shown = p_value is not None and p_value < SIGNIFICANCE
        cells.append(Cell(cell.text + " *", cell.number) if is_shown else cell)
    rows = [[Cell(name), *cells[row * len(metrics) : (row + 1) * len(metrics)]] for row, name in enumerate(names)]
    title = f"Differences to {results.reference}, paired by clip and seed"
    tested = sum(value is not None for value in p_values)
    note = (
        "Mean ± half its own 95 % t-interval; * where it differs from zero at "
        f"{SIGNIFICANCE:.0%} after Holm's correction for {tested} comparisons."
    )
    return Table(title, ("system", *(metric_head(metric) for metric in metrics)), rows, (note,))


def distributions_table(results: BenchResults) -> Table:
    """Fréchet and kernel distances with N and d, to the same clips' truth, and beside real videos to other clips'."""
    rows = []
    protocols = metric_protocols(results)
    for row in results.set_metrics:
        value, floor = row["value"], row["floor"]
        rows.append(
            [
                Cell(distance_label(row["metric"])),
                Cell(row["system"]),
                NULL if value is None else Cell(f"{value:.4g}", value),
                Cell("-") if not row.get("interval") else Cell("{:.4g} to {:.4g}".format(*row["interval"])),
                *(NULL if each is None else Cell(f"{each:.4g}", each) for each in (row.get("other_clips"), floor)),
                Cell("-")
                if value is None
                else Cell(f"{row['samples']} {row.get('unit', 'frames')} of {row['videos']} videos"),
                Cell("-") if floor is None else Cell(" and ".join(map(str, row["floor_samples"]))),
                Cell("-") if value is None else Cell(str(row["dimensions"])),
                Cell(protocols[row["metric"]].fingerprint),
                Cell(row["reason"] or ""),
            ]
        )
    note = (
        "FD-latent and KD-latent: latents pooled to 4 x 4 cells, one sample per frame; no weights, so they are neither "
        "FID nor KID. The value is the distance to the true videos of the same clips: same people, same sounds. To "
        "other clips: generated videos of one half to the true ones of the other; beside it what the true videos "
        "themselves score there, the floor. These two have fewer samples and so are biased upward, both alike: compare "
        "them with each other, never the value with the floor. The interval is a bootstrap over videos (at least 8), "
        "reflected at the value: it corrects the value's own upward bias, and so may lie below it."
    )
    columns = (
        "metric",
        "system",
        "value",
        "95 % interval",
        "to other clips",
        "real videos to other clips (floor)",
        "N",
        "floor N",
        "d",
        "protocol",
        "reason",
    )
    return Table("Distributions", columns, rows, (note,))


def metrics_table(results: BenchResults) -> Table:
    """What each metric means."""
    words = {"higher": "higher", "lower": "lower", "one": "nearer to 1", "zero": "nearer to 0"}
    chosen = [CATALOGUE[name] for name in metric_names(results)]
    rows = [[Cell(m.name), Cell(m.label), Cell(m.unit or "-"), Cell(words[m.better]), Cell(m.meaning)] for m in chosen]
    return Table("Metrics", ("name", "label", "unit", "better", "meaning"), rows)


def nulls_table(results: BenchResults) -> Table:
    """Which values are missing, and why."""
    rows = [
        [Cell(metric), Cell(name), Cell(reason)]
        for metric in metric_names(results)
        for name in [*system_names(results), *control_names(results)]
        if (reason := why_null(results, name, metric))
    ]
    return Table("What could not be measured", ("metric", "system", "reason"), rows)


def clips_table(results: BenchResults) -> Table:
    """One row per (system or control, clip), every metric: the CSV of the benchmark."""
    metrics = metric_names(results)
    rows = []
    for row in results.rows:
        values = [row["metrics"].get(metric) for metric in metrics]
        cells = [Cell("") if value is None else Cell(str(value), value) for value in values]
        cost = [Cell("") if key not in row else Cell(str(row[key]), row[key]) for key in ("nfe", "seconds")]
        rows.append([Cell(row["system"]), Cell(row["clip"]), Cell(row["identity"]), *cost, *cells])
    return Table("Clips", ("system", "clip", "identity", "nfe", "seconds", *metrics), rows)


def _notes(system: dict) -> str:
    return ", ".join(f"{key}: {value}" for key, value in system["notes"].items())


def _number(value: float | None, digits: int, ending: str = "") -> Cell:
    return NULL if value is None else Cell(f"{value:.{digits}f}{ending}", float(value))
