"""Who is who: by place, by list, by face."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fada.data.clips.clip import ClipError, read_record
from fada.data.clips.face_identities import group_faces, name_groups
from fada.data.prepare.identities import Identity, KnownIdentities, relative_names
from fada.data.sampling.splits import split_clips
from fada.media.video import write_video


def paths(folder: Path, *names: str) -> list[Path]:
    return [folder / name for name in names]


def test_files_of_one_name_in_several_folders_are_several_persons(tmp_path: Path) -> None:
    files = paths(tmp_path, "id0/v/00001.mp4", "id1/v/00001.mp4", "id1/v/00002.mp4")
    assert list(relative_names(files, [tmp_path]).values()) == ["id0/v/00001", "id1/v/00001", "id1/v/00002"]


def test_files_given_outright_have_their_bare_names_where_these_differ(tmp_path: Path) -> None:
    files = paths(tmp_path, "a/talk one.mp4", "b/00001.mp4", "c/00001.mp4")
    assert list(relative_names(files, []).values()) == ["talk one", "b/00001", "c/00001"]


def test_folders_with_the_same_insides_are_told_apart(tmp_path: Path) -> None:
    files = paths(tmp_path, "x/id0/v/1.mp4", "x/id1/v/1.mp4")
    assert list(relative_names(files, paths(tmp_path, "x/id0", "x/id1")).values()) == ["id0/v/1", "id1/v/1"]


def test_another_extension_is_no_other_person(tmp_path: Path) -> None:
    assert set(relative_names(paths(tmp_path, "a.mp4", "a.mov"), [tmp_path]).values()) == {"a"}


def test_a_name_stays_with_its_source_from_call_to_call(tmp_path: Path) -> None:
    first, second = tmp_path / "id0" / "v" / "1.mp4", tmp_path / "id1" / "v" / "1.mp4"
    assert KnownIdentities(None, {first: "v/1"}).of(first, "aa") == Identity("v/1", "path")
    earlier = [("v/1", first, "aa")]
    assert KnownIdentities(None, {second: "v/1"}, earlier).of(second, "bb") == Identity("id1/v/1", "path")
    assert KnownIdentities(None, {first: "v/1"}, earlier).of(first, "cc").name == "v/1"  # encoded anew
    assert KnownIdentities(None, {second: "v/1"}, earlier).of(second, "aa").name == "v/1"  # moved


def test_a_list_goes_before_the_path(tmp_path: Path) -> None:
    files = paths(tmp_path, "id0/1.mp4", "id1/1.mp4", "id2/2.mp4")
    known = KnownIdentities({"id0/1.mp4": "Ann", "2.mp4": "Bob"}, relative_names(files, [tmp_path]))
    found = [known.of(file, str(number)) for number, file in enumerate(files)]
    assert found == [("Ann", "list"), ("id1/1", "path"), ("Bob", "list")]


def face(person: int, noise: float, seed: int) -> np.ndarray:
    centre = np.random.default_rng(person).standard_normal(512)
    found = centre / np.linalg.norm(centre) + noise * np.random.default_rng(seed).standard_normal(512) / 512**0.5
    return found / np.linalg.norm(found)


def test_faces_are_grouped_by_person_in_whatever_order() -> None:
    # Two pictures of one person: cosine 1 / (1 + 0.8**2) = 0.61; of two: 0 +- 0.04.
    faces = {
        f"{person}-{number}": face(person, 0.8, 100 * person + number) for person in range(5) for number in range(6)
    }
    wanted = [[f"{person}-{number}" for number in range(6)] for person in range(5)]
    assert group_faces(faces) == wanted
    assert group_faces(dict(reversed(faces.items()))) == wanted
    assert group_faces({}) == []


def meta(identity: str, origin: str = "path") -> dict[str, str]:
    return {"identity": identity, "identity_from": origin}


def test_groups_are_named_by_list_or_by_their_first_path() -> None:
    metas = {"a": meta("H2"), "b": meta("H"), "c": meta("x/1"), "d": meta("Ann", "list"), "e": meta("H")}
    names = name_groups([["a", "b"], ["c", "d"], ["e"]], metas)
    assert names == {"a": "H", "b": "H", "c": "Ann", "d": "Ann", "e": "H#2"}
    again = {key: meta(name) for key, name in names.items()}
    assert name_groups([["a", "b"], ["e"]], again) == {"a": "H", "b": "H", "e": "H#2"}


def test_two_listed_persons_with_like_faces_stay_two() -> None:
    metas = {"a": meta("Ann", "list"), "b": meta("Bea", "list")}
    assert name_groups([["a", "b"]], metas) == {"a": "Ann", "b": "Bea"}


class Brightness:
    """Tells persons by the brightness of their picture."""

    def embed(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        return face(round(float(picture.mean()) / 50), 0.0, 0)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """H and H2 show the same bright face, K a dark one; L has no landmarks."""
    from safetensors.numpy import save_file

    for key, level in {"H": 200, "H2": 200, "K": 50, "L": 50}.items():
        write_video(tmp_path / f"{key}.mp4", np.full((2, 16, 16, 3), level, np.uint8))
        if key != "L":
            save_file({"landmarks": np.zeros((2, 478, 2), np.float16)}, tmp_path / f"{key}.landmarks.safetensors")
        record = {"key": key, "frames": 2, "fps": 25.0, "sample_rate": 16000, "meta": meta(key)}
        (tmp_path / f"{key}.json").write_text(json.dumps(record))
    return tmp_path


def test_splits_go_by_the_person_that_faces_tell(clips: Path) -> None:
    counts = split_clips(clips, test_identities={"H"}, embedder=Brightness())
    metas = {key: read_record(clips / f"{key}.json")["meta"] for key in ("H", "H2", "K", "L")}
    assert {key: (each["identity"], each["identity_from"], each["split"]) for key, each in metas.items()} == {
        "H": ("H", "embedding", "test"),
        "H2": ("H", "embedding", "test"),
        "K": ("K", "embedding", "train"),
        "L": ("L", "path", "train"),
    }
    assert counts == {"test": 2, "train": 2}


def test_damaged_landmarks_are_named_before_anything_is_written(clips: Path) -> None:
    (clips / "K.landmarks.safetensors").write_bytes(b"no")
    with pytest.raises(
        ClipError, match=r"K: its face cannot be embedded \(.*damaged landmarks.*prepare the clip again"
    ):
        split_clips(clips, 0.5, embedder=Brightness())
    assert "split" not in read_record(clips / "H.json")["meta"]
