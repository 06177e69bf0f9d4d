"""Bytes of an hour of video: of a set that is there, and of shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fada.data.shards.bytes_per_hour import computed, evenly, in_words, measured
from fada.data.shards.reading import Sample, write_shards
from fada.data.shards.shard_set import ShardSet


def test_an_hour_of_512_pixels_and_wav2vec2() -> None:
    """docs/guides/shards.md: a second takes 0.8 MiB of latents and 0.4 MiB of the twelve layers of wav2vec2-base."""
    prices = computed(25, (4, 64, 64), (12, 768))
    assert prices == {"latents": 25 * 3600 * 32768, "audio_states": 25 * 3600 * 12 * 768 * 2, "audio": 3600 * 32000}
    assert in_words(prices) == "latents 2.75 GiB, audio_states 1.54 GiB, audio 109.9 MiB"


def test_a_set_is_measured_by_its_members_and_its_length(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def sample(number: int, **parts: object) -> Sample:
        return Sample(f"k{number}", {}, audio=rng.uniform(-1, 1, 50 * 640).astype(np.float32), **parts)  # type: ignore

    write_shards([sample(0, latents=torch.zeros(50, 4, 8, 8).half()), sample(1)], tmp_path, 5)
    prices = measured(ShardSet(tmp_path))
    # Two seconds each, one of them with latents; the one without is as long as its sound.
    assert prices["audio"] == pytest.approx((50 * 640 * 2 + 44) * 1800)
    assert prices["latents"] == pytest.approx(50 * 4 * 64 * 2 * 1800, rel=0.01)
    assert set(prices) == {"latents", "audio"}


def test_of_clips_of_no_known_length_nothing_is_said(tmp_path: Path) -> None:
    write_shards([Sample("k", {}, face=torch.zeros(512))], tmp_path, 5)
    assert measured(ShardSet(tmp_path)) == {}


def test_even_choices() -> None:
    assert evenly(0, 5) == []
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(101, 3) == [0, 50, 100]
