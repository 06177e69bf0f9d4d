"""The pretended device, and small models of every family that is distilled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "teacher/v_express"))

import small_model as small_v_express

from fada.data.clips.face import FaceClues
from fada.data.sampling.dataset import ClipSampler, LatentClip
from fada.data.shards.format import Sample
from fada.data.world.draw import make_clip
from fada.diffusion.paths import NoisePath
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet
from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.frame_pairs import FramePairs
from fada.teacher.float.model import Float
from fada.teacher.float.transformer import VectorField
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet
from fada.teacher.v_express.model import VExpress
from fada.teacher.v_express.networks import new as new_v_express

PATH = NoisePath(prediction_type="v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True)


def dual_unet() -> DualUNet:
    """Two levels, one with attention."""
    shape = {"channels": (8, 16), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
             "attention_levels": (False, True)}  # fmt: skip
    return DualUNet(
        ReferenceUNet(**shape, temporal_levels=(True, True), has_places=True),
        DenoisingUNet(**shape, temporal_levels=(True, True), has_places=True, audio_dim=8, max_frames=8),
        AudioProjection(5, 1, 12, 16, 2, 8),
        PATH,
    )


def hallo() -> Hallo:
    """The same in Hallo's layout; its motion modules want 32 channels."""
    shape = {"channels": (32, 32), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
             "attention_levels": (True, True), "token_dim": 8}  # fmt: skip
    return Hallo(
        HalloReferenceUNet(**shape),
        HalloDenoisingUNet(**shape, audio_dim=8, max_frames=8),
        AudioProjection(5, 1, 12, 16, 2, 8),
        FaceProjection(20, 2, 8),
        FaceLocator(32),
        PATH,
    )


def v_express() -> VExpress:
    """The same in V-Express's layout."""
    audio = (2 * small_v_express.CONTEXT + 1, 1, small_v_express.STATE)
    return new_v_express(small_v_express.NETWORK, PATH.to_config(), audio, (4, 8, 8))


def small_float() -> Float:
    """Two blocks; latents are differences from the portrait's, as where a codec is trained here."""
    field = VectorField(6, 32, 2, 4, audio_dim=8, max_frames=8, relative=True)
    return Float(field, FloatAudioProjection(5, 1, 12, 8), NoisePath("flow_prediction"))


FAMILIES: dict[str, Callable[[], AvatarDenoiser]] = {
    "dual_unet": dual_unet, "hallo": hallo, "v_express": v_express, "float": small_float,
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> AvatarDenoiser:
    """A teacher of each family, with no output at zero, so that every condition has an effect."""
    torch.manual_seed(0)
    made = FAMILIES[request.param]()
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


@pytest.fixture
def sampler(model: AvatarDenoiser) -> ClipSampler:
    """Four clips with faces, keypoints and emotions, of both qualities; V-Express has no motion frames."""
    generator = torch.Generator().manual_seed(3)
    face, lips = torch.tensor([0.1, 0.1, 0.8, 0.9]), torch.tensor([0.3, 0.5, 0.6, 0.8])
    clips = [
        LatentClip(
            f"clip-{i}",
            "AB"[i % 2],
            torch.randn(9, *((6,) if isinstance(model, Float) else (4, 8, 8)), generator=generator),
            torch.randn(9, 1, 12, generator=generator),
            FaceClues(torch.randn(20, generator=generator), face, lips),
            small_v_express.keypoints(9),
            torch.rand(7, generator=generator).softmax(0),
        )
        for i in range(4)
    ]
    motion = {"frames": 4, "motion_frames": 0} if isinstance(model, VExpress) else {"frames": 3, "motion_frames": 2}
    return ClipSampler(clips, **motion, context=small_v_express.CONTEXT if isinstance(model, VExpress) else 2)


@pytest.fixture(scope="module")
def pairs() -> FramePairs:
    """Frames that train FLOAT's codec."""
    clips = (make_clip(1, number, size=32, frames=6) for number in range(3))
    return FramePairs((Sample(each.key, each.meta, each.frames) for each in clips), 32, 10**9, has_boxes=True)
