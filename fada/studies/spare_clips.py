"""Held-out clips that are not in the report: on them scales, solvers and nodes are chosen; each is measured once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from fada.eval.bench.measure import Instruments, look_at
from fada.eval.bench.results import fingerprint as hash_of
from fada.eval.bench.results import kept_json
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.statistics.set_metrics import Features
from fada.files.whole import write_json
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.run.data import features_of, fingerprint
from fada.studies.bench_setting import Setting


class SpareClips:
    """A teacher at settings that are tried, measured; every finished setting is kept in `store` and not made again.

    Args:
        teacher: the guided one.
        clips: spare ones.
        tools: what measures.
        seed: of the report.
        store: a JSON file.
        console: for progress.
        also: what values follow from beside teacher, clips, seed and tools.
    """

    def __init__(
        self,
        teacher: AvatarPipeline,
        clips: Sequence[BenchClip],
        tools: Instruments,
        seed: int,
        store: Path,
        console: Console,
        also: Sequence[str] = (),
    ) -> None:
        self.teacher, self.clips, self.tools, self.seed = teacher, clips, tools, seed
        self.store, self.console = store, console
        protocols = {} if tools.real is None else tools.real.protocols()
        self.mark = hash_of(
            [
                METRICS_VERSION,
                fingerprint(teacher.model),
                features_of(teacher.vae, teacher.audio_encoder),
                seed,
                [clip.measured_hash() for clip in clips],
                protocols,
                *also,
            ]
        )
        kept = kept_json(store)
        self.kept: dict[str, Any] = kept["measured"] if kept.get("fingerprint") == self.mark else {}

    def run(
        self, settings: Sequence[Setting], measure: Callable[[Setting], Any], label: Callable[[Setting], str]
    ) -> dict[Setting, Any]:
        """What `measure` says of each setting, asked where it is not kept; `label` is shown meanwhile."""
        with self.console.status("spare clips") as status:
            for setting in settings:
                status.update(label(setting))
                if str(setting) not in self.kept:
                    self.kept[str(setting)] = measure(setting)
                    write_json(self.store, {"fingerprint": self.mark, "measured": self.kept})
        return {setting: self.kept[str(setting)] for setting in settings}

    @cached_property
    def true_features(self) -> list[Features]:
        """Of the true videos, once for all settings."""
        seen = [look_at(clip, clip.truth_frames, self.tools) for clip in self.clips if clip.truth_frames is not None]
        return [(each.features, each.feature_reasons) for each in seen]


def only(tools: Instruments, names: Collection[str]) -> Instruments:
    """Of the instruments of real footage only those that give one of these metrics."""
    if tools.real is None:
        return tools
    shown = set(names)
    videos = tuple(each for each in tools.real.videos if shown & set(each.names) and each.measure is not None)
    features = tuple(each for each in tools.real.features if shown & set(each.metrics) and each.features is not None)
    return replace(tools, real=replace(tools.real, videos=videos, features=features))
