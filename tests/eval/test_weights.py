from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from fada.eval.instruments import weights
from fada.eval.instruments.weights import WEIGHTS, Absent, Found, find, weight_folders


@pytest.fixture
def public_hash(monkeypatch: pytest.MonkeyPatch) -> str:
    """NIQE's entry with the hash of the bytes ``right``."""
    digest = hashlib.sha256(b"right").hexdigest()
    monkeypatch.setitem(WEIGHTS, "niqe", replace(WEIGHTS["niqe"], hashes=(digest,)))
    return digest


def write(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def test_a_file_is_found_below_a_folder_with_its_hash(tmp_path: Path, public_hash: str) -> None:
    path = write(tmp_path / "some" / "where", "niqe_pris_params.npz", b"right")
    assert find("niqe", [tmp_path / "none", tmp_path]) == Found(WEIGHTS["niqe"], path, public_hash)


def test_another_hash_is_refused_with_both_and_where_to_get_it(tmp_path: Path, public_hash: str) -> None:
    path = write(tmp_path, "niqe_pris_params.npz", b"wrong")
    absent = find("niqe", [tmp_path])
    assert isinstance(absent, Absent)
    assert absent.refused == path
    assert f"begins {hashlib.sha256(b'wrong').hexdigest()[:8]}, the published one {public_hash[:8]}" in absent.reason
    assert "get it from BasicSR" in absent.reason


def test_a_refused_file_does_not_hide_the_right_one(tmp_path: Path, public_hash: str) -> None:
    write(tmp_path / "a", "niqe_pris_params.npz", b"wrong")
    path = write(tmp_path / "b", "niqe_pris_params.npz", b"right")
    found = find("niqe", [tmp_path])
    assert isinstance(found, Found)
    assert found.path == path


def test_the_first_digits_are_enough_where_only_they_are_public(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, public_hash: str
) -> None:
    monkeypatch.setitem(WEIGHTS, "niqe", replace(WEIGHTS["niqe"], hashes=(public_hash[:8],)))
    write(tmp_path, "niqe_pris_params.npz", b"right")
    assert isinstance(find("niqe", [tmp_path]), Found)


def test_weights_without_a_public_hash_are_accepted_with_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, "rgb_imagenet.pt", b"anything")
    assert find("i3d", [tmp_path]) == Found(WEIGHTS["i3d"], path, hashlib.sha256(b"anything").hexdigest())


def test_a_model_folder_is_found_by_its_config(tmp_path: Path) -> None:
    write(tmp_path / "models" / "one-align", "config.json", b"{}")
    found = find("q-align", [tmp_path])
    assert isinstance(found, Found)
    assert found.path == tmp_path / "models" / "one-align"


def test_missing_weights_say_file_size_and_publisher(tmp_path: Path) -> None:
    absent = find("syncnet", [tmp_path])
    assert isinstance(absent, Absent)
    assert absent.reason.startswith("no syncnet_v2.model in the weights folders; 55 MB, published by the authors")


def test_without_folders_the_reason_names_recipe_key_and_variable() -> None:
    absent = find("syncnet", [])
    assert isinstance(absent, Absent)
    assert "no folder was given: bench.weights, FADA_WEIGHTS" in absent.reason


def test_unknown_weights_are_named_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no weights named 'vgg'; choose from face-landmarker, niqe"):
        find("vgg", [])


def test_the_environment_adds_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.VARIABLE, "one:two")
    assert weight_folders([Path("zero")]) == [Path("zero"), Path("one"), Path("two")]
