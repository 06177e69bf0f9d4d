"""Runs the public PeRFlow code, magic-research/piecewise-rectified-flow, from a checkout: numbers to compare with.

    python tests/diffusion/public_perflow.py CHECKOUT

writes ``vectors/public_perflow.json``. Nothing of that code is kept here, and nothing of ours is used: its scheduler
and solver are imported, and the lines of its training script that make inputs and targets are run as they stand. Its
tables are replaced by float64 ones, so that only its formulas are compared; the world is Gaussian (conftest.py).
"""

import json
import subprocess
import sys
import textwrap
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

VECTORS = Path(__file__).parent / "vectors" / "public_perflow.json"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
MEAN, STD = 1.3, 0.6
LOSSES = {"ddim_eps": "noise_matching", "diff_eps": "noise_matching", "velocity": "velocity_matching"}
# Windows and solver steps of each: the first five products divide 1000, the others do not.
TARGETS = [(4, 5), (4, 10), (5, 8), (2, 4), (1, 10), (4, 8), (3, 5)]
# Windows and sampling steps; the last does not lie on the grid of 1/1000.
SAMPLES = [(4, 4), (4, 6), (4, 8), (2, 4), (4, 12)]
TIMES = [1.0, 0.9, 0.75, 0.62, 0.3, 0.01]
CLEAN = [0.8, -0.4, 2.1, 1.3, 0.0, -1.5]
NOISE = [-1.7, 0.2, 0.9, -0.3, 1.1, 0.5]


def run_public(checkout: Path) -> dict[str, Any]:
    """What the checkout's code answers: ``targets`` of training and ``samples`` of its scheduler.

    Raises:
        FileNotFoundError: no checkout, or its files lie elsewhere.
    """
    scheduler_code, solver_code = (
        _load(checkout / "src" / name) for name in ("scheduler_perflow.py", "pfode_solver.py")
    )
    script = (checkout / "scripts" / "perflow_accelerate_sd.py").read_text(encoding="utf-8").splitlines()
    return {
        "targets": [_targets(scheduler_code, solver_code, script, *each) for each in TARGETS],
        "samples": [_samples(scheduler_code, kind, *each) for each in SAMPLES for kind in LOSSES],
    }


def alphas_cumprod() -> Tensor:
    """Stable Diffusion's table, float64 (1000,)."""
    roots = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, 1000, dtype=torch.float64)  # type: ignore[operator]
    return torch.cumprod(1.0 - roots**2, dim=0)


def answer(z: Tensor, timestep: Tensor) -> Tensor:
    """What the network of the sampling runs says: any curved function."""
    return torch.sin(2.0 * z) + timestep.double() / 1000.0


class _Teacher:
    """The perfect noise predictor of the Gaussian world, as the solver calls a UNet."""

    config = SimpleNamespace(time_cond_proj_dim=None)

    def __call__(self, z: Tensor, timestep: Tensor, **_: Any) -> tuple[Tensor]:
        alpha_bar = alphas_cumprod()[timestep].view(-1, 1, 1, 1)
        noise = (1.0 - alpha_bar).sqrt()
        return (noise * (z - alpha_bar.sqrt() * MEAN) / (alpha_bar * STD**2 + 1.0 - alpha_bar),)


def _targets(
    scheduler_code: ModuleType, solver_code: ModuleType, script: list[str], windows: int, steps: int
) -> dict[str, Any]:
    teacher = DDIMScheduler(**BETAS, set_alpha_to_one=False)
    teacher.alphas_cumprod = alphas_cumprod()
    teacher.final_alpha_cumprod = teacher.alphas_cumprod[0]
    teacher.num_train_timesteps = 1000
    latents, noises = (torch.tensor(each, dtype=torch.float64).view(-1, 1, 1, 1) for each in (CLEAN, NOISE))
    timepoints = torch.tensor(TIMES, dtype=torch.float64)
    student = _scheduler(scheduler_code, "ddim_eps", windows)
    t_start, t_end = student.time_windows.lookup_window(timepoints)
    latents_start = teacher.add_noise(latents, noises, torch.clamp((t_start * 1000).long() - 1, min=0))
    solver = solver_code.PFODESolver(scheduler=teacher, t_initial=1, t_terminal=0)
    latents_end = solver.solve(
        latents=latents_start, unet=_Teacher(), t_start=t_start, t_end=t_end, prompt_embeds=None,
        negative_prompt_embeds=None, num_steps=steps, num_windows=windows,
    )  # fmt: skip
    found: dict[str, Any] = {"windows": windows, "steps": steps, "timesteps": [], "targets": {}}
    visited = solver.get_timesteps(t_start, t_end, steps)
    found["timesteps"], found["interval"] = visited.tolist(), 1000 // (windows * steps)
    for kind, loss in LOSSES.items():
        scope: dict[str, Any] = {
            "torch": torch, "args": SimpleNamespace(loss_type=loss, pred_type=kind), "weight_dtype": torch.float64,
            "latents": latents, "latents_start": latents_start, "latents_end": latents_end, "t_start": t_start,
            "t_end": t_end, "timepoints": timepoints, "perflow_scheduler": _scheduler(scheduler_code, kind, windows),
        }  # fmt: skip
        exec(_lines(script, "latents_t = latents_start", "## 6.4"), scope)
        exec(_lines(script, "## 6.4", "model_pred = unet("), scope)
        found["targets"][kind] = _listed(scope["targets"])
        found["inputs"] = _listed(scope["latents_t"])
    return found | {"starts": _listed(latents_start), "ends": _listed(latents_end)}


def _samples(scheduler_code: ModuleType, kind: str, windows: int, steps: int) -> dict[str, Any]:
    scheduler = _scheduler(scheduler_code, kind, windows)
    scheduler.set_timesteps(steps)
    z = torch.tensor(NOISE, dtype=torch.float64)[:, None]
    visited = []
    for timestep in scheduler.timesteps:
        z = scheduler.step(answer(z, timestep), timestep, z).prev_sample
        visited.append(_listed(z))
    return {
        "prediction_type": kind, "windows": windows, "steps": steps,
        "timesteps": scheduler.timesteps.tolist(), "samples": visited,
    }  # fmt: skip


def _scheduler(code: ModuleType, kind: str, windows: int) -> Any:
    scheduler = code.PeRFlowScheduler(**BETAS, prediction_type=kind, num_time_windows=windows)
    scheduler.alphas_cumprod = alphas_cumprod()
    return scheduler


def _lines(script: list[str], first: str, after: str) -> str:
    """The script's lines from the one that begins with ``first`` up to the one that begins with ``after``."""
    starts = [number for number, line in enumerate(script) if line.strip().startswith(first)]
    ends = [number for number, line in enumerate(script) if line.strip().startswith(after) and number > starts[0]]
    return textwrap.dedent("\n".join(script[starts[0] : ends[0]]).expandtabs())


def _listed(values: Tensor) -> list[float]:
    return values.flatten().tolist()


def _load(path: Path) -> ModuleType:
    """A module of the checkout; what it imports and these runs do not use may be missing here."""
    unused = [name for name in ("omegaconf", "torchvision") if find_spec(name) is None]
    for name in unused:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].OmegaConf = None  # type: ignore[attr-defined]
    try:
        spec = spec_from_file_location(f"public_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name in unused:
            del sys.modules[name]
    return module


def main() -> None:
    """Record."""
    checkout = Path(sys.argv[1])
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    made = {
        "made_by": "python tests/diffusion/public_perflow.py CHECKOUT",
        "of": f"magic-research/piecewise-rectified-flow {commit.stdout.strip()}".strip(),
    }
    VECTORS.write_text(json.dumps(made | run_public(checkout), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
