"""The training step that ours is measured against: what public code does, at its best.

No public script distils an avatar with a mixed loss; a competent one would take from each the best it does:

- PeRFlow (magic-research/piecewise-rectified-flow, `scripts/train_perflow.py`, `src/pfode_solver.py`, `train.sh`): the
  frozen teacher runs in half precision without gradients and solves the window anew in every step, with DDIM in 8
  equal steps of time; with guidance, both branches go through it in one batch; text embeddings are computed once per
  step and shared with the student, which is called once, at one point of the chord (there is no ground-truth term).
- Hallo (fudan-generative-vision/hallo, `hallo/animate/face_animate.py`): the reference net runs once per clip, before
  the first denoising step; both branches are one batch; audio and face embeddings are projected once per clip. In
  training (`scripts/train_stage2.py`) it runs once per step, within the only call. Keys and values of its features are
  made again in every pass of the denoising net, a copy per frame.
- V-Express (tencent-ailab/V-Express, `pipelines/v_express_pipeline.py`, `train.py`): the same; the reference net runs
  once for a whole video, and once per step in training.

So the public way has, as ours: all branches of a solver step in one pass, the reference net once per clip and step,
and its features shared by teacher and student. What public code lacks and costs no more than writing it is granted to
it as well (it runs through our networks and our objective): keys and values made once per step, branches that skip what
they do not hear, both points of the mixed loss in one call of the student, no question about data that cannot count.
What remains of the difference is the solver, and targets that are solved once.
"""

from __future__ import annotations

from dataclasses import replace

from fada.diffusion.solvers import Solver
from fada.student.solved_windows import DistillSettings

PUBLIC_SOLVER: Solver = "ddim"
PUBLIC_STEPS = 8
"""In each of PeRFlow's four windows."""
PUBLIC_WINDOWS = 4


def public_way(settings: DistillSettings) -> DistillSettings:
    """The same training with the public solver; windows of another length are solved with as many steps per time."""
    steps = public_steps(settings.windows)
    return replace(settings, solver=PUBLIC_SOLVER, solver_steps=steps, solver_spacing="time")


def public_steps(windows: int) -> int:
    """Steps of DDIM in each of so many windows: 8 in a quarter of the time."""
    return max(1, round(PUBLIC_STEPS * PUBLIC_WINDOWS / windows))
