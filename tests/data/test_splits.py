"""Held-out identities and fixed samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fada.data.clips.clip import ClipError, read_record
from fada.data.sampling.samples import draw_sample
from fada.data.sampling.splits import split_clips

KEYS = [f"clip-{index:03d}" for index in range(300)]


def clips(folder: Path, identities: dict[str, str | None]) -> Path:
    """Clips with empty videos: only their records matter here."""
    for key, identity in identities.items():
        (folder / f"{key}.mp4").touch()
        record = {
            "key": key,
            "frames": 1,
            "fps": 25.0,
            "sample_rate": 16000,
            "meta": {"identity": identity, "flaws": []},
        }
        (folder / f"{key}.json").write_text(json.dumps(record))
    return folder


def splits(folder: Path) -> dict[str, str]:
    return {file.stem: read_record(file)["meta"]["split"] for file in folder.glob("*.json")}


def test_clips_of_one_identity_share_a_split(tmp_path: Path) -> None:
    clips(tmp_path, {f"{person}-{index}": f"person {person}" for person in range(40) for index in range(2)})
    counts = split_clips(tmp_path, 0.3)
    found = splits(tmp_path)
    assert all(found[f"{person}-0"] == found[f"{person}-1"] for person in range(40))
    assert counts == {"test": 20, "train": 60}


def test_named_identities_are_held_out(tmp_path: Path) -> None:
    split_clips(clips(tmp_path, {"a": "Ann", "b": "Bob", "c": "Ann"}), test_identities={"Ann"})
    assert splits(tmp_path) == {"a": "test", "b": "train", "c": "test"}


def test_splitting_changes_nothing_else_in_the_records(tmp_path: Path) -> None:
    before = read_record(clips(tmp_path, {"a": "Ann"}) / "a.json")
    split_clips(tmp_path, 1.0)
    after = read_record(tmp_path / "a.json")
    assert after == {**before, "meta": {**before["meta"], "split": "test"}}


def test_an_identity_that_no_clip_shows_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no clip shows Zoe; the identities to hold out"):
        split_clips(clips(tmp_path, {"a": "Ann"}), test_identities={"Ann", "Zoe"})
    assert "split" not in read_record(tmp_path / "a.json")["meta"]


def test_a_clip_without_identity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"b.json: names no identity"):
        split_clips(clips(tmp_path, {"a": "Ann", "b": None}), 0.5)


def test_a_sample_does_not_depend_on_the_order_of_the_clips() -> None:
    assert draw_sample(KEYS, 100, 0) == draw_sample(KEYS[::-1], 100, 0)


def test_another_seed_draws_another_sample() -> None:
    assert draw_sample(KEYS, 100, 0)["keys"] != draw_sample(KEYS, 100, 1)["keys"]
    assert draw_sample(KEYS, 100, 0)["population"] == draw_sample(KEYS, 100, 1)["population"]


def test_a_sample_is_known_by_value() -> None:
    """Recorded when this was written: lists that were published must stay drawable."""
    drawn = draw_sample(["a", "b", "c", "d", "e"], 2, 0)
    assert drawn["keys"] == ["a", "d"]
    assert drawn["population"] == {
        "clips": 5,
        "sha256": "86dc03602dcf385217216784784a8ecf20e6400decc3208170b12fcb0afb6698",
    }


def test_clips_are_drawn_equally_often() -> None:
    drawn = [draw_sample(KEYS[:10], 3, seed)["keys"] for seed in range(2000)]
    counts = [sum(key in keys for keys in drawn) for key in KEYS[:10]]
    # 600 expected each, standard deviation 20.5.
    assert max(abs(count - 600) for count in counts) < 80


def test_one_new_clip_changes_at_most_one_of_the_sample() -> None:
    old, new = draw_sample(KEYS, 100, 0)["keys"], draw_sample([*KEYS, "new"], 100, 0)["keys"]
    assert len(set(old) - set(new)) <= 1


@pytest.mark.parametrize("count", [0, 301])
def test_a_sample_larger_than_its_population_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"a sample of {count} clips cannot be drawn from 300"):
        draw_sample(KEYS, count, 0)


def test_keys_that_appear_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="1 keys appear twice"):
        draw_sample(["a", "a", "b"], 1, 0)
