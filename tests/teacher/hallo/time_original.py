"""Times a denoising pass of Hallo's public code and of ours, at equal weights, sizes and inputs, guidance on.

    MALLOC_MMAP_THRESHOLD_=262144 python tests/teacher/hallo/time_original.py CHECKOUT --site SITE --size mid

CHECKOUT and what stands in beside it are those of `record_original.py`; SITE holds the public code's own diffusers.
Each code lives in a process of its own; they take turns, so that other load hits both. A pass is what a step of the
public pipeline's loop asks: both branches in one batch, the reference net's bank and the audio prepared beforehand.
Memory: the most that torch holds within a pass beyond what it held before, from the profiler's record of allocations,
and the same of the process's resident set, which is honest where freed memory goes back at once (the variable above).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import small_checkpoint as small

SIZES = {
    "small": {"CHANNELS": (32, 64, 128, 128), "SIDE": 16, "FRAMES": 4},
    "mid": {"CHANNELS": (64, 128, 256, 256), "SIDE": 32, "FRAMES": 16},
    "wide": {"CHANNELS": (160, 320, 640, 640), "SIDE": 16, "FRAMES": 16},
}
COMMON = {"TOKEN_DIM": 64, "AUDIO_DIM": 64, "FACE_DIM": 64, "AUDIO_TOKENS": 32, "STATES_DIM": 32, "HIDDEN": 64}
TIMESTEP = 499


def original(checkout: Path) -> tuple[Callable[[], Tensor], int]:
    """A pass of the public denoiser, and the bytes of what was prepared for it; answers (2, F, C, h, w)."""
    import types

    sys.path.insert(0, str(checkout))
    import diffusers  # noqa: F401  (looks for xformers by itself, and must not find the stand-in)

    sys.modules["xformers"], sys.modules["xformers.ops"] = types.ModuleType("xformers"), types.ModuleType("ops")
    import record_original
    from hallo.models.mutual_self_attention import ReferenceAttentionControl

    ReferenceAttentionControl.update.__defaults__ = (torch.float32,)
    networks = record_original.build()
    given = record_original.conditions(networks)
    reference, denoiser = networks["reference_unet"], networks["denoising_unet"]
    options = {"do_classifier_free_guidance": True, "batch_size": 1, "fusion_blocks": "full"}
    writer = ReferenceAttentionControl(reference, mode="write", **options)
    reader = ReferenceAttentionControl(denoiser, mode="read", **options)
    images = given["images"].repeat(2, 1, 1, 1)
    reference(images, torch.zeros(()), encoder_hidden_states=given["face"], return_dict=False)
    reader.update(writer)
    writer.clear()
    banks = [each for module in denoiser.modules() for each in getattr(module, "bank", [])]
    noise = small.inputs()["noise"].transpose(0, 1)[None].repeat(2, 1, 1, 1, 1)
    told = {"mask_cond_fea": given["located"], "audio_embedding": given["audio"], **given["regions"]}

    def denoise() -> Tensor:
        answer = denoiser(
            noise,
            torch.tensor(TIMESTEP),
            encoder_hidden_states=given["face"],
            motion_scale=small.REGION_WEIGHTS,
            return_dict=False,
            **told,
        )
        return answer[0].transpose(1, 2)

    return denoise, _bytes([banks, list(told.values()), given["face"]])


def ours() -> tuple[Callable[[], Tensor], int]:
    """The same of our denoiser."""
    from fada.diffusion.paths import NoisePath
    from fada.teacher.dual_unet.audio_projection import AudioProjection
    from fada.teacher.guidance import BatchedBranches
    from fada.teacher.hallo.conditions import HalloInputs
    from fada.teacher.hallo.model import Hallo
    from fada.teacher.hallo.projections import FaceLocator, FaceProjection
    from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

    shape: dict[str, Any] = {"channels": small.CHANNELS, "token_dim": small.TOKEN_DIM}
    audio = (small.WINDOW, small.LAYERS, small.STATES_DIM, small.HIDDEN, small.AUDIO_TOKENS, small.AUDIO_DIM)
    parts = {
        "reference_unet": HalloReferenceUNet(**shape),
        "denoising_unet": HalloDenoisingUNet(**shape, audio_dim=small.AUDIO_DIM),
        "audioproj": AudioProjection(*audio),
        "imageproj": FaceProjection(small.FACE_DIM, small.FACE_TOKENS, small.TOKEN_DIM),
        "face_locator": FaceLocator(small.CHANNELS[0]),
    }
    for name, part in parts.items():
        part.load_state_dict(small.weights({key: v.shape for key, v in part.state_dict().items()}, f"{name}."), False)
    path = NoisePath(prediction_type="v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True)
    model = Hallo(*parts.values(), path, region_weights=small.REGION_WEIGHTS).eval()
    drawn = {name: tensor[None] for name, tensor in small.inputs().items()}
    masks = tuple(drawn[f"mask_{level}"] for level in range(4))
    names = ("reference", "audio", "face_embedding", "face_region")
    conditions = model.prepare(HalloInputs(*(drawn[name] for name in names), masks, drawn["motion"]))
    branches = BatchedBranches(model, conditions, (0, 2))
    t = torch.tensor([(TIMESTEP + 1) / 1000], dtype=torch.float64)

    def denoise() -> Tensor:
        return torch.cat(branches.predict(drawn["noise"], t))

    denoise()  # Makes the rows.
    return denoise, _bytes([list(vars(each).values()) for each in (conditions, branches.rows)])


def _bytes(values: Any) -> int:
    """Of all tensors in nested lists and tuples, each storage once."""
    found: dict[int, int] = {}

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, (list, tuple)):
            for each in value:
                visit(each)

    visit(values)
    return sum(found.values())


def serve(code: str, size: str, checkout: Path) -> None:
    """One process: prepares, then passes once per line of standard input, and answers a line of JSON."""
    for name, value in {**COMMON, **SIZES[size]}.items():
        setattr(small, name, value)
    torch.set_grad_enabled(False)
    denoise, held = original(checkout) if code == "original" else ours()
    answer = small.summary(denoise())
    print(json.dumps({"held": held, "values": answer["values"], "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        asked = line.strip()
        print(json.dumps(_timed(denoise) if asked == "time" else _memory(denoise)), flush=True)


def _timed(denoise: Callable[[], Tensor]) -> dict[str, float]:
    # Of all threads: what other load costs is not in it.
    begun, cpu = time.perf_counter(), time.process_time()
    denoise()
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}


def _memory(denoise: Callable[[], Tensor]) -> dict[str, int]:
    from torch.profiler import ProfilerActivity, profile

    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # The high-water mark begins anew.
    denoise()
    resident = _status("VmHWM") - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        denoise()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return {"resident": resident, "allocated": peak}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class _Process:
    """The other end of `serve`."""

    def __init__(self, code: str, size: str, checkout: Path, site: Path | None) -> None:
        environment = dict(os.environ)
        if code == "original" and site is not None:
            environment["PYTHONPATH"] = str(site)
        command = [sys.executable, __file__, str(checkout), "--size", size, "--serve", code]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.begun = self._answer()

    def ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(what, file=self.process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.process.args)} ended: its messages are above")
        return json.loads(line)


def compare(size: str, checkout: Path, site: Path | None, rounds: int) -> dict[str, Any]:
    """Figures of both codes and their ratios, ours over the original's."""
    processes = {code: _Process(code, size, checkout, site) for code in ("original", "ours")}
    values = [torch.tensor(each.begun["values"]) for each in processes.values()]
    difference = float((values[0] - values[1]).abs().max())
    times: dict[str, list[dict[str, float]]] = {code: [] for code in processes}
    for _ in range(rounds):
        for code, each in processes.items():
            times[code].append(each.ask("time"))
    figures = {}
    for code, each in processes.items():
        spent = {key: statistics.median(one[key] for one in times[code]) for key in ("seconds", "cpu_seconds")}
        figures[code] = {**spent, **each.ask("memory"), "held": each.begun["held"]}
        each.end()
    theirs, own = figures["original"], figures["ours"]
    ratios = {key: own[key] / theirs[key] for key in own if theirs[key]}
    for key in ("seconds", "cpu_seconds"):
        pairs = zip(times["ours"], times["original"], strict=True)
        ratios[key] = statistics.median(a[key] / b[key] for a, b in pairs)
    ratios["held and allocated"] = (own["held"] + own["allocated"]) / (theirs["held"] + theirs["allocated"])
    return {"size": {**COMMON, **SIZES[size]}, "rounds": rounds, "threads": processes["ours"].begun["threads"],
            "largest difference": difference, **figures, "ratios": ratios}  # fmt: skip


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--site", type=Path)
    parser.add_argument("--size", choices=SIZES, default="mid")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", choices=("original", "ours"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve is not None:
        serve(told.serve, told.size, told.checkout)
        return
    found = json.dumps(compare(told.size, told.checkout, told.site, told.rounds), indent=1)
    print(found)
    if told.out is not None:
        told.out.write_text(found + "\n")


if __name__ == "__main__":
    main()
