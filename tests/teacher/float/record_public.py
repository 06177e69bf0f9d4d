"""Runs FLOAT's public autoencoder on weights that follow from a rule, and records what it answers.

    python tests/teacher/float/record_public.py CHECKOUT OUT.safetensors

CHECKOUT is a clone of deepbrainai-research/float; torch and numpy are all that its `models/float/generator.py` needs
(`models/__init__.py` is left out: it asks for more). Everything runs in float64, so that what is compared is the
computation and not its rounding: in float32 the public code differs from itself in float64 by 1e-4 at 64 pixels. One
thing is changed: `.cuda()`, which the warp calls, hands its tensor through. Its grid stays in float32.

Of pictures larger than 64 every fourth pixel is kept.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))
import released_layout as layout


def main(checkout: Path, out: Path) -> None:
    """Write the record."""
    models = types.ModuleType("models")
    models.__path__ = [str(checkout / "models")]
    models.BaseModel = torch.nn.Module  # type: ignore[attr-defined]
    sys.modules["models"] = models
    torch.Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign, assignment]
    from models.float.generator import Generator

    torch.set_grad_enabled(False)
    record = {}
    for size in layout.SIZES:
        network = Generator(size).double().eval()
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        missing, unexpected = network.load_state_dict(layout.weights(shapes), strict=False)
        assert not unexpected
        assert all(name.endswith("kernel") for name in missing), missing
        pictures = layout.frames(size)
        w, _, maps = network.enc(pictures[:1], None)
        factors = network.enc.fc(network.enc(pictures[1:], None)[0])
        motion = network.dec.direction(factors)
        made = torch.cat([network.dec(w + each[None], None, maps)[0] for each in motion])
        kept = made[..., :: max(1, size // 64), :: max(1, size // 64)]
        record |= {f"{size}.w": w, f"{size}.factors": factors, f"{size}.motion": motion}
        record |= {f"{size}.pictures": kept.float()}
        record |= {f"{size}.{name}": torch.tensor(shape) for name, shape in shapes.items()}
    save_file({name: value.contiguous() for name, value in record.items()}, str(out))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
