"""``fada teacher import sd15``: the verb; the weights have tests of their own."""

from __future__ import annotations

from pathlib import Path

from diffusers import UNet2DConditionModel


def save_unet(folder: Path) -> None:
    UNet2DConditionModel(
        block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, cross_attention_dim=768,
    ).save_pretrained(str(folder))  # fmt: skip


def test_import_says_what_was_filled_and_how_to_go_on(cli, tmp_path: Path) -> None:
    save_unet(tmp_path / "sd")
    out = tmp_path / "dual"
    outcome = cli("teacher", "import", "sd15", str(tmp_path / "sd"), "--out", str(out), "--text-attention", "kept")
    assert outcome.code == 0, outcome.err
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["reference", "net", "172", "4", "0", "32", "none"] in rows
    assert any(row[:2] == ["denoising", "net"] and row[-2:] == ["temporal", "layers"] for row in rows)
    assert f"start from it with teacher.init={out}; no VAE came with it: name one as vae.path" in outcome.out


def test_import_refuses_what_is_not_there(cli, tmp_path: Path) -> None:
    outcome = cli("teacher", "import", "sd15", str(tmp_path / "sd"), "--out", str(tmp_path / "dual"))
    assert outcome.code == 2
    assert "no such folder or file; give a diffusers folder or a checkpoint" in outcome.err
