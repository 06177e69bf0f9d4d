"""Models that come with the package: found by name from any folder, and no other way out of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fada.files.errors import FolderFault
from fada.pretrained import shipped
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.shipped import located


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's folder of models, by way of a link as in a clone, with one model of two parts."""
    folder = tmp_path / "real" / "shipped"
    (folder / "small" / "vae").mkdir(parents=True)
    (folder / "small" / "model_index.json").write_text("{}")
    (folder / "no-model").mkdir()
    (tmp_path / "package").symlink_to(tmp_path / "real")
    monkeypatch.setattr(shipped, "MODELS", tmp_path / "package" / "shipped")
    return folder


def test_a_name_means_the_package_s_folder_and_its_parts(models: Path) -> None:
    assert located(Path("shipped:small")) == models / "small"
    assert located(Path("shipped:small/vae")) == models / "small" / "vae"


def test_any_other_path_stays_as_it_is(models: Path) -> None:
    for path in ("small", "runs/demo", "/somewhere/small", "unshipped:small"):
        assert located(Path(path)) == Path(path)


@pytest.mark.parametrize("name", ["smal", "no-model", "", "small/nothing", "small/model_index.json"])
def test_a_name_that_nothing_has_is_refused_with_those_there_are(models: Path, name: str) -> None:
    with pytest.raises(ModelFolderError, match=r"no such model comes with fada.*\(those that do: shipped:small\)"):
        located(Path(f"shipped:{name}"))


def test_the_nearest_name_is_meant(models: Path) -> None:
    with pytest.raises(ModelFolderError, match="did you mean 'small'"):
        located(Path("shipped:smal"))


def test_a_name_leads_nowhere_else(models: Path) -> None:
    with pytest.raises(FolderFault, match="is no name of a file or folder in it"):
        located(Path("shipped:small/../../secret"))
