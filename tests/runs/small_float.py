"""Overrides of `recipes/tiny/float.yaml` that make it a run of seconds."""

from __future__ import annotations

SMALL = (
    "data.world={clips: 4, test_clips: 2, frames: 12, emotion: true, flawed_share: 0.0}", "clip.size=32",
    "clip.frames=4", "clip.motion_frames=2", "audio.bins=4", "audio.context=1",
    "teacher.codec={style_dim: 16, motion_dim: 4, channels: [8, 8, 8, 6], train: {steps: 4, batch: 2}}",
    "teacher.network={dim: 16, depth: 2, heads: 2, audio_dim: 8, max_frames: 6}",
    "teacher.stages.all.steps=3", "teacher.stages.all.batch=2", "teacher.stages.all.quality=all",
    *(f"distill.phases.{name}.{rest}" for name in ("balanced", "fast") for rest in ("steps=2", "batch=2")),
    "engine={precision: fp32, checkpoint_every: 1, log_every: 1, warmup: 1, threads: 1, ema: 0.9, preview_every: 2}",
    "bench={clips: 2, seconds: 0.32, teacher_steps: 3, search_clips: 0, repeats: 1, warmups: 0}",
)  # fmt: skip
