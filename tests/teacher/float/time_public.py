"""Times FLOAT's public code and ours side by side, at the released sizes and equal random weights.

    python tests/teacher/float/time_public.py CHECKOUT --frames 8 --rounds 3

CHECKOUT and what stands in for packages are those of `record_transformer.py`. Both run in one process and take turns,
on one thread, so that other load hits both; times are processor time. A second of video: 25 frames are decoded, and
half a window of 50 is solved, by nine Euler evaluations of three branches. A student's two evaluations of one branch
are timed beside them. With --dtype bf16 ours runs in bfloat16, as `fada generate --dtype bf16` does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.sampling import sample_student
from fada.diffusion.solvers import solve
from fada.diffusion.windows import Windows
from fada.generation.denoising import embedded
from fada.student.copies import student_of
from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.model import Float
from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.transformer import VectorField
from fada.teacher.guidance import guided
from fada.teacher.inputs import ClipInputs

sys.path.insert(0, str(Path(__file__).parent))
import record_transformer as public

SIZE, SECONDS_OF_WINDOW, FPS = 512, 2.0, 25
SCALES = torch.tensor([[2.0, 1.0]])


def stages(checkout: Path, frames: int, dtype: torch.dtype) -> dict[str, dict[str, Callable[[], Any]]]:
    """By stage, what each code does: encode a portrait, solve a window, decode some frames."""
    sys.path.insert(0, str(checkout))
    public.stand_ins()
    torch.Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign, assignment]
    from models.float.FMT import FlowMatchingTransformer
    from models.float.generator import Generator

    torch.manual_seed(0)
    released = public.options(dim_h=1024, dim_w=512, dim_a=512, fmt_depth=8, num_heads=8, wav2vec_sec=2,
                              num_prev_frames=10)  # fmt: skip
    theirs, fmt = Generator(SIZE).eval(), public.filled(FlowMatchingTransformer(released), "fmt.")
    codec, field = MotionAutoencoder(SIZE), VectorField()
    codec.load_state_dict(theirs.state_dict())
    field.load_state_dict({key: value for key, value in fmt.state_dict().items() if key != "alignment_mask"})
    model = Float(field, FloatAudioProjection(), NoisePath("flow_prediction", num_train_timesteps=1800)).to(dtype)
    codec.eval().requires_grad_(False).to(dtype)
    portrait = torch.randint(256, (SIZE, SIZE, 3), dtype=torch.uint8).numpy()
    pixels = torch.from_numpy(portrait).permute(2, 0, 1)[None] / 127.5 - 1
    w, _, maps = theirs.enc(pixels, None)
    motion = theirs.dec.direction(theirs.enc.fc(w)) + 0.05 * torch.randn(frames, 512)
    appearance = codec.appearance(portrait)
    states, before = torch.randn(1, 50, 1, 12, 768), torch.randn(1, 10, 1, 12, 768)
    latents, reference, noise = torch.randn(1, 10, 512), torch.randn(1, 512), torch.randn(1, 50, 512)
    emotion = torch.softmax(torch.randn(1, 7), -1)
    sound = model.audio_projection.float()
    heard, heard_before = sound(states), sound(before)
    model.to(dtype)
    inputs = ClipInputs(reference, states, latents, torch.tensor([True]), emotion=emotion, motion_audio=before)
    one, zero, windows = torch.ones(1).double(), torch.zeros(1).double(), Windows(2)
    student = student_of(model, "tokens", 4)

    def public_window() -> Tensor:
        z, times = noise, torch.linspace(0, 1, 10)
        for start, end in pairwise(times):
            z = z + (end - start) * fmt.forward_with_cfv(
                start[None], z, heard, reference, emotion[:, None], latents, heard_before, a_cfg_scale=2.0
            )[:, 10:]  # fmt: skip
        return z

    def our_window() -> Tensor:
        conditions = model.prepare(model.inputs_of(inputs))
        return solve(guided(model, conditions, SCALES), model.path, noise, one, zero, 9)

    def students_window() -> Tensor:
        conditions = student.prepare(student.inputs_of(inputs))
        return sample_student(embedded(student, conditions, SCALES), student.path, windows, noise, 2)

    return {
        "portrait": {"public": lambda: theirs.enc(pixels, None), "ours": lambda: codec.appearance(portrait)},
        "window": {"public": public_window, "ours": our_window, "student": students_window},
        "frames": {
            "public": lambda: [theirs.dec(w + each[None], None, maps) for each in motion],
            "ours": lambda: codec.decode(motion, appearance),
        },
    }


def main() -> None:
    """Print seconds of processor time, medians of the rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    done = stages(asked.checkout, asked.frames, {"fp32": torch.float32, "bf16": torch.bfloat16}[asked.dtype])
    spent: dict[tuple[str, str], list[float]] = {}
    for round_number in range(asked.rounds + 1):
        for stage, codes in done.items():
            for code, run in codes.items():
                began = time.process_time()
                run()
                if round_number:
                    spent.setdefault((stage, code), []).append(time.process_time() - began)
    medians = {key: statistics.median(each) for key, each in spent.items()}
    for (stage, code), seconds in medians.items():
        print(f"{stage:>8} {code:>8} {seconds:8.3f} s")
    frame = {code: medians["frames", code] / asked.frames for code in ("public", "ours")}
    for code, decoder in (("public", "public"), ("ours", "ours"), ("student", "ours")):
        total = FPS * frame[decoder] + medians["window", code] / SECONDS_OF_WINDOW
        print(f"a second of video, {code}: {total:.2f} s ({FPS / total:.2f} frames a second)")


if __name__ == "__main__":
    main()
