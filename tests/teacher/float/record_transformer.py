"""Runs FLOAT's public transformer and sampler on small weights and records what they answer.

    python tests/teacher/float/record_transformer.py CHECKOUT OUT.json

CHECKOUT is a clone of deepbrainai-research/float at 97cfdd5, run in an environment that has torchdiffeq beside torch
and transformers. Stand-ins: timm's `Mlp` (two layers with an activation between them) and its question whether
attention is fused; encoders of sound and emotion that hand on what they are given. Recorded are, too, names and shapes
of all parameters of the released sizes.
"""

from __future__ import annotations

import json
import sys
import types
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import small_float as small

TIMES = (0.0, 0.4, 1.0)


class Mlp(nn.Module):
    """timm's, without dropout."""

    def __init__(self, in_features: int, hidden_features: int, act_layer: Any, drop: float) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = (
            nn.Linear(in_features, hidden_features),
            act_layer(),
            nn.Linear(hidden_features, in_features),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


def stand_ins() -> None:
    """Modules that the public code imports, under their names."""
    layers, transformer = types.ModuleType("timm.layers"), types.ModuleType("timm.models.vision_transformer")
    layers.use_fused_attn, transformer.Mlp = lambda: True, Mlp  # type: ignore[attr-defined]
    for name, module in {
        "timm": types.ModuleType("timm"),
        "timm.layers": layers,
        "timm.models": types.ModuleType("timm.models"),
        "timm.models.vision_transformer": transformer,
    }.items():
        sys.modules[name] = module


def options(**changed: Any) -> Namespace:
    """The public code's options at the small size."""
    return Namespace(**{
        "fps": 25.0, "wav2vec_sec": small.FRAMES / 25, "num_prev_frames": small.MOTION_FRAMES, "dim_h": small.DIM,
        "dim_w": small.LATENT, "dim_a": small.LATENT, "dim_e": 7, "dim_m": 20, "mlp_ratio": 4.0, "input_size": 512,
        "fmt_depth": small.DEPTH, "num_heads": small.HEADS, "attention_window": small.WINDOW, "rank": "cpu",
        "sampling_rate": 16000, "nfe": 3, "fix_noise_seed": False, "seed": 15,
        "audio_dropout_prob": 0.1, "ref_dropout_prob": 0.1, "emotion_dropout_prob": 0.1,
    } | changed)  # fmt: skip


def filled(module: Any, prefix: str) -> Any:
    """The module with drawn weights."""
    shapes = {key: tensor.shape for key, tensor in module.state_dict().items()}
    missing, unexpected = module.load_state_dict(small.weights(shapes, prefix), strict=False)
    assert not unexpected
    assert set(missing) <= set(small.NOT_WEIGHTS)
    return module.eval()


def velocities(fmt: Any, projection: nn.Module) -> dict[str, Tensor]:
    """Of the three branches at several times, and combined."""
    given = {name: value[None] for name, value in small.inputs().items()}
    audio, before = (projection(given[name].flatten(2)) for name in ("states", "motion_states"))
    emotion = given["emotion"][:, None]
    nothing = (torch.zeros_like(audio), torch.zeros_like(emotion))
    answers = {}
    for time in TIMES:
        for branch, (heard, felt) in enumerate((nothing, (audio, nothing[1]), (audio, emotion))):
            answers[f"branch_{branch}_at_{time:g}"] = fmt(
                torch.tensor([time]), given["noise"], heard, given["reference"], felt, given["motion"], before,
                train=False,
            )  # fmt: skip
    answers["guided"] = fmt.forward_with_cfv(
        torch.tensor([0.4]), given["noise"], audio, given["reference"], emotion, given["motion"], before,
        a_cfg_scale=small.SCALES[0], e_cfg_scale=small.SCALES[1],
    )[:, small.MOTION_FRAMES :]  # fmt: skip
    return answers


def sampled(fmt: Any, projection: nn.Module) -> Tensor:
    """Two Euler steps of each of two windows, the second padded."""
    from models.float import FLOAT as public

    given = small.inputs()
    model = public.FLOAT.__new__(public.FLOAT)
    nn.Module.__init__(model)
    model.opt, model.fmt = options(), fmt
    model.num_frames_for_clip, model.num_prev_frames = small.FRAMES, small.MOTION_FRAMES
    model.odeint_kwargs = {"atol": 1e-5, "rtol": 1e-5, "method": "euler"}
    heard = projection(given["all_states"][None].flatten(2))
    object.__setattr__(model, "audio_encoder", Namespace(inference=lambda a, seq_len: heard))
    labels = Namespace(label2id={"happy": small.EMOTION_AT})
    object.__setattr__(model, "emotion_encoder", labels)
    noises = iter(given["noises"][:, None])
    drawn, public.torch.randn = public.torch.randn, lambda *shape, **options: next(noises)
    try:
        sound = torch.zeros(1, small.LENGTH * 640)
        data = {"r_s": given["reference"][None], "a": sound}
        return model.sample(data, *(small.SCALES[0], 1.0, small.SCALES[1]), emo="happy", nfe=3)
    finally:
        public.torch.randn = drawn


def layout() -> dict[str, list[int]]:
    """Names and shapes of the released sizes, as a checkpoint has them; without wav2vec2, which others publish."""
    from models.float.FMT import FlowMatchingTransformer
    from models.float.generator import Generator

    released = options(dim_h=1024, dim_w=512, dim_a=512, fmt_depth=8, num_heads=8, wav2vec_sec=2, num_prev_frames=10)
    parts: dict[str, nn.Module] = {
        "motion_autoencoder": Generator(512, 512, 20),
        "fmt": FlowMatchingTransformer(released),
        "audio_encoder.audio_projection": nn.Sequential(nn.Linear(12 * 768, 512), nn.LayerNorm(512)),
    }
    return {
        f"{prefix}.{key}": list(tensor.shape)
        for prefix, part in parts.items()
        for key, tensor in part.state_dict().items()
    }


def main(checkout: Path, out: Path) -> None:
    """Write the record."""
    sys.path.insert(0, str(checkout))
    stand_ins()
    torch.set_grad_enabled(False)
    from models.float.FMT import FlowMatchingTransformer

    fmt = filled(FlowMatchingTransformer(options()), "fmt.")
    states = small.LAYERS * small.STATES_DIM
    projection = filled(
        nn.Sequential(nn.Linear(states, small.LATENT), nn.LayerNorm(small.LATENT), nn.SiLU()), "audio_projection."
    )
    answers = {**velocities(fmt, projection), "sampled": sampled(fmt, projection)}
    record = {name: small.summary(tensor) for name, tensor in answers.items()}
    out.write_text(json.dumps({"answers": record, "layout": layout()}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
