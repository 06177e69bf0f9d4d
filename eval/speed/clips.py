"""A whole clip by the guided teacher's many evaluations and by the student's few: time, stages, frames per second."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fada.eval.bench.memory import PeakMemory
from fada.eval.bench.nfe import NfeCounter
from fada.eval.speed.rounds import ratio, take_turns
from fada.generation.avatar_pipeline import AvatarPipeline, PipelineOutput
from fada.media.frame_count import sample_count
from fada.media.sample_rate import SAMPLE_RATE


@dataclass(frozen=True)
class ClipCost:
    """One way to generate the clip.

    nfe: evaluations of the denoising net per clip, counted by a hook. seconds: medians, `whole` and by stage.
    frames_per_second: of the whole; real_time_factor: wall seconds per second of video; times_faster: than the first,
    `denoise` and `whole`.
    """

    name: str
    nfe: int
    seconds: dict[str, float]
    frames_per_second: float
    real_time_factor: float
    times_faster: dict[str, float]
    peak_memory: int | None


class ClipWork:
    """A pipeline that generates one clip of random sound for a random portrait; remembers stages and evaluations."""

    def __init__(self, pipeline: AvatarPipeline, **call: Any) -> None:
        self.pipeline, self.call = pipeline, call
        config = pipeline.config
        generator = np.random.default_rng(0)
        self.portrait = generator.integers(0, 256, (config.size, config.size, 3), dtype=np.uint8)
        self.seconds_of_video = config.frames / config.fps
        count = sample_count(config.frames, SAMPLE_RATE, config.fps)
        self.sound = generator.standard_normal(count).astype(np.float32) * 0.1
        self.stages: list[dict[str, float]] = []
        self.nfe = 0
        self.peak_memory: int | None = None

    def __call__(self) -> PipelineOutput:
        """Generate the clip."""
        with NfeCounter(self.pipeline.model.denoiser) as counter, PeakMemory(self.pipeline.device) as memory:
            made: PipelineOutput = self.pipeline(self.portrait, self.sound, **self.call)
        self.stages.append(made.stage_seconds)
        self.nfe, self.peak_memory = counter.per_clip, memory.bytes
        return made


def measure_clips(
    works: dict[str, ClipWork], rounds: int, on_work: Callable[[str, int], None] = lambda name, number: None
) -> list[ClipCost]:
    """What each way costs, the first being what the others are held against."""
    seconds = take_turns(works, rounds, on_work=on_work)
    stages = {name: work.stages[-rounds:] for name, work in works.items()}
    first = next(iter(works))
    costs = []
    for name, work in works.items():
        denoise = {each: [laps["denoise"] for laps in stages[each]] for each in (first, name)}
        whole = statistics.median(seconds[name])
        by_stage = {stage: statistics.median(laps[stage] for laps in stages[name]) for stage in stages[name][0]}
        costs.append(
            ClipCost(
                name,
                work.nfe,
                {"whole": whole, **by_stage},
                work.pipeline.config.frames / whole,
                whole / work.seconds_of_video,
                {"denoise": ratio(denoise[first], denoise[name]), "whole": ratio(seconds[first], seconds[name])},
                work.peak_memory,
            )
        )
    return costs
