"""A run's folder with a teacher and a student of it, both of a few thousand weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fada.data.audio.features import LogMelEncoder
from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.pipelines import FadaPipeline
from fada.student.copies import student_of
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet
from fada.teacher.vae import new_vae

SHAPE = {"channels": (8, 16), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
         "attention_levels": (False, True), "temporal_levels": (True, True)}  # fmt: skip
RECIPE = "name: small\nteacher:\n  kind: dual_unet\n  path: null\n  init: null\n"


@pytest.fixture(scope="session")
def student_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`teacher/` and `students/fast/`, which differs by a fiftieth in what was trained; do not write into it."""
    run = tmp_path_factory.mktemp("runs") / "small"
    torch.manual_seed(0)
    scheduler = PeRFlowScheduler(
        prediction_type="v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True, num_windows=4
    )
    teacher = DualUNet(
        ReferenceUNet(**SHAPE), DenoisingUNet(**SHAPE, audio_dim=8, max_frames=16), AudioProjection(5, 1, 12, 16, 2, 8),
        NoisePath.from_config(scheduler.config),
    )  # fmt: skip
    vae = new_vae((8, 16), 4)
    student = student_of(teacher, "tokens", 2)
    for network, is_student in ((teacher, False), (student, True)):
        if is_student:
            _train(student)
        FadaPipeline(
            vae, network.reference_unet, network.denoising_unet, network.audio_projection, LogMelEncoder(3), scheduler,
            guidance_layers=network.guidance_layers,
            frames=4, motion_frames=2, size=16, steps=4, is_student=is_student, audio_scale=3.0, reference_scale=2.0,
        ).save_pretrained(str(run / ("students/fast" if is_student else "teacher")))  # fmt: skip
    (run / "recipe.yaml").write_text(RECIPE)
    return run


def _train(student: torch.nn.Module) -> None:
    """In place of training: noise on every weight of the parts that a student has for itself."""
    with torch.no_grad():
        for part in (student.denoising_unet, student.guidance_layers, student.audio_projection):
            for parameter in part.parameters():
                noise = torch.randn(parameter.shape, dtype=torch.float64)
                # Summed in float64: unlike after many steps of training, a difference always finds a float32 sum again.
                parameter.copy_(parameter.double() + 0.02 * parameter.std(correction=0).clamp(min=0.1) * noise)
