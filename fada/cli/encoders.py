"""The folders of a VAE and an audio encoder, as the verbs that store latents and audio states are given them."""

from __future__ import annotations

from pathlib import Path

import typer


def located_encoders(vae: Path, audio_encoder: Path | None) -> tuple[Path, Path | None]:
    """Both folders, or the VAE's alone; those that come with fada found by name.

    Raises:
        BadParameter: the VAE's has no config.json.
        ModelFolderError: no model of that name comes with fada.
    """
    from fada.pretrained.shipped import located

    vae, audio_encoder = located(vae), None if audio_encoder is None else located(audio_encoder)
    if not (vae / "config.json").is_file():
        raise typer.BadParameter(f"--vae {vae}: no config.json here; give a folder of a diffusers AutoencoderKL")
    return vae, audio_encoder
