"""What stands behind every figure: per metric its protocol and a fingerprint, per system its weights, type and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fada.eval.bench.results import BenchResults, fingerprint
from fada.eval.bench.summary import metric_names, system_names
from fada.eval.report.table import Cell, Table

LEAST_WARMUPS, LEAST_ROUNDS = 2, 5
"""Below these a latency is a rough figure, and the report says so."""


@dataclass(frozen=True)
class MetricProtocol:
    """How one metric was measured.

    Args:
        metric: its name.
        implementation: whose definition, and which version.
        input: what it looks at.
        weights: file name to SHA-256; empty for metrics without weights.
        shared: resolution, fps and frames per clip, as printed.
        videos: the largest number of videos of a system that have a value, N.
    """

    metric: str
    implementation: str
    input: str
    weights: Mapping[str, str]
    shared: tuple[str, str, str]
    videos: int

    @property
    def fingerprint(self) -> str:
        """Eight hex digits over all of it: figures with the same ones were measured alike; a dash without figures."""
        if not self.videos:
            return "-"
        how = [self.metric, self.implementation, self.input, dict(self.weights)]
        return fingerprint([*how, self.shared, self.videos])[:8]


def metric_protocols(results: BenchResults) -> dict[str, MetricProtocol]:
    """The protocol of every metric in the report, those over all clips included."""
    own = f"fada, version {results.protocol.get('metrics_version')}"
    videos = {metric: max(_counts(results, metric), default=0) for metric in metric_names(results)}
    for row in results.set_metrics:
        videos[row["metric"]] = max(videos.get(row["metric"], 0), row.get("videos") or 0)
    listed: dict[str, Any] = results.protocol.get("metrics", {})
    protocols = {}
    for metric, count in videos.items():
        found = listed.get(metric, {})
        seen = "all frames' latents" if "latent" in metric else "all frames at their own size"
        protocols[metric] = MetricProtocol(
            metric,
            found.get("implementation", own),
            found.get("input", seen),
            found.get("weights", {}),
            _shared(results.protocol),
            count,
        )
    return protocols


def _counts(results: BenchResults, metric: str) -> list[int]:
    return [sum(value is not None for value in results.values(name, metric).values()) for name in system_names(results)]


def _shared(protocol: Mapping[str, Any]) -> tuple[str, str, str]:
    fps = [f"{value:g}" for value in protocol.get("fps", ())]
    return "/".join(protocol.get("resolution", ())), "/".join(fps), "/".join(map(str, protocol.get("frames", ())))


def protocols_table(results: BenchResults) -> Table:
    """Per metric: implementation, weights, resolution, rate, frames per clip, N, and the fingerprint over them."""
    rows = [
        [
            Cell(metric),
            Cell(found.implementation),
            Cell(found.input),
            Cell(", ".join(f"{name} {sha256[:12]}" for name, sha256 in found.weights.items()) or "none"),
            *map(Cell, found.shared),
            Cell(str(found.videos), found.videos),
            Cell(found.fingerprint),
        ]
        for metric, found in metric_protocols(results).items()
        if found.videos
    ]
    columns = ("metric", "implementation", "input", "weights", "resolution", "fps", "frames", "N", "protocol")
    return Table("Protocols of the metrics", columns, rows)


def provenance_table(results: BenchResults) -> Table:
    """Per system: weights and settings (a hash), number type, compiled or not, size, frames, seed and commit."""
    protocol, commit = results.protocol, results.environment.get("commit")
    rows = []
    for name in system_names(results):
        system, measured = results.system(name), results.rows_of(name)
        sizes = sorted({"x".join(map(str, row["size"][::-1])) for row in measured if "size" in row})
        frames = sorted({row["frames"] for row in measured if "frames" in row})
        rows.append(
            [
                Cell(name),
                Cell(str(system["fingerprint"])[:12] or "-"),
                Cell(str(system["notes"].get("dtype", "-"))),
                Cell({True: "yes", False: "no"}.get(system["notes"].get("compiled", ""), "-")),
                Cell("/".join(sizes) or "-"),
                Cell("/".join(map(str, frames)) or "-"),
                Cell(str(protocol.get("seed"))),
                Cell(str(commit or "-")),
            ]
        )
    columns = ("system", "weights", "dtype", "compiled", "size", "frames", "seed", "commit")
    return Table("What was run", columns, rows)


def rounds_note(results: BenchResults) -> str:
    """A sentence where latencies rest on too few warm-ups or rounds; empty otherwise."""
    warmups, rounds = results.protocol.get("warmups", 0), len({row["round"] for row in results.timing})
    if not results.timing or (warmups >= LEAST_WARMUPS and rounds >= LEAST_ROUNDS):
        return ""
    return (
        f"Rough: {warmups} warm-ups and {rounds} rounds; at least {LEAST_WARMUPS} and {LEAST_ROUNDS} make a figure "
        "that may be quoted."
    )
