"""The students: windows, CFG layers, losses, phases."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fada.recipe.sections.section import (
    Count,
    Few,
    Listed,
    Named,
    PlainName,
    Rate,
    Scale,
    Section,
    Share,
    Steps,
    Weight,
)

Ratio = Annotated[float, Field(gt=0.0, le=1e6)]
"""Of the errors against teacher and ground truth."""
Weighting = Literal["adaptive", "adaptive_unlimited", "fixed"]
LossSpace = Literal["prediction", "endpoint"]
RESERVED = frozenset(["teacher", "aside"])
"""Names that mean something else where a student's is given."""


class Guidance(Section):
    """How the student is told the guidance scales (method.md, section 5)."""

    mode: Literal["none", "time_embed", "layer", "tokens"] = "tokens"
    """The paper's Table 4: `tokens` is FADA's."""
    tokens: Few = 4
    """Learnable tokens per branch."""


class Solver(Section):
    """How the teacher solves a window."""

    kind: Literal["ddim", "dpmpp_2m", "dpmpp_2m_log_snr"] = "ddim"
    """DDIM, or second-order DPM-Solver++ 2M at equal steps of time or of log-SNR."""
    steps: Few = 8
    """Steps per window."""
    spacing: Literal["time", "log_snr", "noise_share"] = "time"
    """Of which clock the solver's steps are equal parts; `dpmpp_2m_log_snr` has its own."""

    @model_validator(mode="after")
    def one_clock(self) -> Solver:
        if self.kind == "dpmpp_2m_log_snr" and self.spacing != "time":
            raise ValueError(f"spacing: {self.kind} steps by log-SNR itself; use kind: dpmpp_2m, got {self.spacing}")
        return self


class Loss(Section):
    """The mixed loss (method.md, section 4)."""

    weighting: Weighting = "adaptive"
    """How ground truth is weighed against the teacher."""
    slope: Weight = 0.25
    """s: W grows as R^s."""
    base: Weight = 0.2
    """W0: the weight at R = 1, or the fixed weight."""
    peak: Ratio = 30.0
    """Rp: from here W falls."""
    dead: Ratio = 100.0
    """Rd: from here W is 0."""
    loss_space: LossSpace = "prediction"
    """Measure the error of the prediction, or of the window's end (times eta^2)."""
    gt_guidance: Literal["neutral", "sampled"] = "neutral"
    """Scales that the ground-truth branch is told."""

    @model_validator(mode="after")
    def peak_before_dead(self) -> Loss:
        if self.peak >= self.dead:
            raise ValueError(f"peak must be below dead, got peak={self.peak}, dead={self.dead}")
        return self


class ScaleRange(Section):
    """Guidance scales drawn uniformly per sample."""

    low: Scale | None = None
    """Smallest; default: the family's."""
    high: Scale | None = None
    """Largest; default: the family's."""

    @model_validator(mode="after")
    def ordered(self) -> ScaleRange:
        if self.low is not None and self.high is not None and self.high < self.low:
            raise ValueError(f"high must not be below low, got low={self.low}, high={self.high}")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest, in a recipe, which fills in its family's."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high


class Phase(Section):
    """One student: what it learns from the teacher, and from which weights it starts."""

    name: PlainName
    """Folder name of the student (students/NAME)."""
    guidance: Literal["sync", "distill"] = "distill"
    """`sync`: balanced, guidance stays outside (3 passes a step). `distill`: fast, guidance inside (1 pass)."""
    init: PlainName = "teacher"
    """`teacher`, or the name of an earlier phase."""
    steps: Steps = 1000
    """Optimiser steps."""
    batch: Count = 4
    """Clips per step and process."""
    lr: Rate = 1e-5
    """Peak learning rate."""
    scales: Named[ScaleRange] = Field(default={})
    """Guidance scales that the fast student learns, by the names of the family's branches; default: the family's."""
    motion_drop: Share = 0.3
    """Share of samples without motion frames."""
    quality: Literal["A", "B", "all"] = "all"
    """Which clips: the clean set, the moderate one, or both."""
    solver: Solver = Solver()
    """The teacher's solver."""
    loss: Loss = Loss()
    """The mixed loss."""
    trains_reference: bool = False
    """Train the student's reference net too; frozen it is shared with the teacher."""
    targets: Literal["online", "cached"] = "online"
    """`online`: the teacher solves every sample's window in its step. `cached`: it solves `cached_samples` windows
    first, and the student then trains on them again and again, without the teacher."""
    cached_samples: Steps = 2048
    """Windows in the cache; only for `targets: cached`."""


class Distill(Section):
    """Windows, CFG layers and the students in order."""

    method: Literal["perflow", "tcd"] = "perflow"
    """What students learn of the teacher's way: `perflow` straightens it window by window (one window is RFlow);
    `tcd`, trajectory consistency, jumps anywhere on it. For `tcd` the one window's `solver.steps` cut the way into as
    many steps, of which the teacher takes one per sample, and `engine.ema` is the target network."""
    windows: Few = 4
    """K: PeRFlow windows."""
    gamma: Share = 0.3
    """Share of the remaining time that a `tcd` student jumps too far in every step, to be noised again; 0 is
    deterministic."""
    sampling: Literal["guided", "conditional"] = "guided"
    """How students are called: `guided` as they were taught (scales inside, or three branches), or plainly
    `conditional`, one pass a step without guidance."""
    steps: Few | None = None
    """Steps of a student's clip; default: one and a half per window, as the paper's 6 over 4."""
    times: Literal["uniform", "starts"] = "uniform"
    """Times at which a student learns: anywhere in its windows, or only at their starts. `starts` is one round of
    progressive distillation of `steps` DDIM steps, not PeRFlow: such students always take one step per window (`steps`
    equal to `windows`) and are never asked anything else."""
    matched: bool = False
    """Show points inside windows to the network on its own noise path, at the time of equal signal-to-noise ratio,
    instead of as they are (the paper's way)."""
    spacing: Literal["time", "log_snr", "noise_share"] = "time"
    """Where windows meet: at equal steps of time (the paper's), of log-SNR, or of the noise's share `c / (a + c)`."""
    extra_steps: Literal["first", "last"] = "first"
    """Which windows a student's sampler gives the steps that K does not divide: nearest to noise, or to data."""
    cfg: Guidance = Guidance()
    """CFG layers of fast students."""
    phases: Listed[Phase] = ()
    """Students, in order."""

    @model_validator(mode="after")
    def phases_connect(self) -> Distill:
        known = ["teacher"]
        for phase in self.phases:
            if phase.name in RESERVED:
                raise ValueError(f"distill.phases: no phase can be named {phase.name!r}; give another name")
            if phase.name in known:
                raise ValueError(f"distill.phases: two phases are named {phase.name!r}")
            if phase.init not in known:
                raise ValueError(
                    f"distill.phases: {phase.name} starts from {phase.init!r}; choose from {', '.join(known)}"
                )
            known.append(phase.name)
        self._fits_tcd()
        if self.steps is not None and self.steps < self.windows:
            raise ValueError(f"steps: a student needs one per window at least: got {self.steps} for {self.windows}")
        if self.times == "starts" and self.steps != self.windows:
            raise ValueError(
                f"times: starts needs steps equal to windows ({self.windows}), got steps {self.steps}: further steps "
                "begin within a window, where such a student has learned nothing"
            )
        if self.matched and (self.times == "starts" or self.method == "tcd"):
            raise ValueError(
                "matched: concerns points inside windows; a student of "
                f"{'method: tcd' if self.method == 'tcd' else 'times: starts'} sees none: leave it out"
            )
        return self

    def _fits_tcd(self) -> None:
        if self.method != "tcd":
            return
        if self.windows != 1:
            raise ValueError(f"method: tcd jumps over the whole way: it needs windows: 1, got {self.windows}")
        for phase in self.phases:
            if (phase.loss.weighting, phase.loss.base) != ("fixed", 0.0):
                raise ValueError(
                    f"method: tcd knows no ground truth: {phase.name} needs loss: {{weighting: fixed, base: 0}}, "
                    f"got {phase.loss.weighting} with base {phase.loss.base:g}"
                )
