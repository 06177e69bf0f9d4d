"""Models on a hub: pushed, and opened by name; the hub is a stand-in on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import fada
from fada.cli.app import run as run_fada
from fada.export.opening import open_model
from fada.export.push import files_to_push, push
from fada.export.run_export import export_run
from fada.files.errors import FolderFault
from fada.generation.pipelines import FadaPipeline
from fada.pretrained.hub import HubFault, HubName, _plain, hub_name, is_held, model_folder
from tests.hub_stand_in import Files, Hub, serving

MODEL = {"model_index.json": b"{}", "vae/config.json": b"{}", "vae/diffusion_pytorch_model.safetensors": b"weights"}
NAME = HubName("someone/portraits")
# huggingface_hub's own, where it uploads large files without its newer protocol.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub that huggingface_hub speaks to, with a login, a cache of its own, in an empty working folder."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _cache_assets

    with serving(Hub()) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
        monkeypatch.setattr(_cache_assets, "HF_ASSETS_CACHE", str(tmp_path / "home" / "assets"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
        # Its own protocol for large files needs another server.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        yield hub


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def files_in(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_pushed_model_is_opened_by_name_with_the_same_weights(
    hub: Hub, student_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    assert run_fada(["export", str(student_run), "--out", str(out), "--push-to", "someone/portraits"]) == 0
    said = capfd.readouterr()
    assert f"pushed to someone/portraits: {hub.address}/someone/portraits/commit/" in said.out
    assert hub.token not in said.out + said.err
    repository = hub.repositories["someone/portraits"]
    assert not repository.private
    opened = (fada.load("someone/portraits", device="cpu"), FadaPipeline.from_pretrained("someone/portraits"))
    mine = FadaPipeline.from_pretrained(out)
    for there in opened:
        for name, network in mine.model.components().items():
            if isinstance(network, torch.nn.Module):
                for key, value in network.state_dict().items():
                    assert torch.equal(getattr(there, name).state_dict()[key], value), (name, key)


def test_what_is_pushed_is_the_folder_s_files_without_places_of_this_machine(
    hub: Hub, student_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(student_run, tmp_path / "run"))
    (run / "clips").mkdir()
    (run / "clips" / "me.mp4").write_bytes(b"face")
    (run / "students" / "fast" / "optimizer.bin").write_bytes(b"state")
    (run / "students" / "fast" / ".git").mkdir()
    (run / "students" / "fast" / ".git" / "config").write_text("secret")
    out = export_run(run, tmp_path / "model", name="someone/portraits")
    push(out, NAME)
    held = hub.repositories["someone/portraits"].found("main")
    assert held is not None
    uploaded = {name: content for name, content in held[1].items() if name != ".gitattributes"}
    assert uploaded == files_in(out)
    assert {Path(name).suffix for name in uploaded} == {".safetensors", ".json", ".yaml", ".md"}
    assert not [name for name in uploaded if re.search(r"optim|clips|\.git|state", name)]
    told = [name for name, content in uploaded.items() if str(tmp_path).encode() in content]
    assert not told
    card = uploaded["README.md"].decode()
    assert 'from_pretrained("someone/portraits")' in card
    assert "--model someone/portraits " in card


@pytest.mark.parametrize("name", ["state.pt", ".git/config", "clip.mp4", "a/b/config.json", ".fada.json"])
def test_a_folder_with_anything_else_in_it_is_not_pushed(hub: Hub, tmp_path: Path, name: str) -> None:
    (tmp_path / "model" / name).parent.mkdir(parents=True)
    (tmp_path / "model" / name).write_bytes(b"mine")
    with pytest.raises(HubFault, match=f"{re.escape(name)}: is no part of an exported model, so nothing was uploaded"):
        push(tmp_path / "model", NAME)
    assert not hub.asked


def test_a_link_is_not_pushed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(FolderFault, match="is a link"):
        files_to_push(tmp_path / "model")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder that can be pushed."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "model_index.json").write_text('{"small": true}')
    return tmp_path / "small"


def test_private_and_the_branch_reach_the_hub(hub: Hub, small: Path) -> None:
    push(small, HubName("someone/portraits", "trial/one"), private=True)
    repository = hub.repositories["someone/portraits"]
    assert repository.private
    assert set(repository.found("main")[1]) == {".gitattributes"}  # type: ignore[index]
    assert set(repository.found("trial/one")[1]) == {".gitattributes", "model_index.json"}  # type: ignore[index]
    assert files_in(model_folder(Path("someone/portraits@trial/one"))) == files_in(small)
    push(small, HubName("someone/portraits", "trial/one"), private=True)


def test_a_public_repository_does_not_take_what_shall_be_private(hub: Hub, small: Path) -> None:
    repository = hub.add("someone/portraits", {})
    with pytest.raises(HubFault, match=r"^someone/portraits: is there already and public, --private was asked for"):
        push(small, NAME, private=True)
    assert len(repository.commits) == 1


def test_files_of_another_model_do_not_mix_with_this_one_s(hub: Hub, small: Path) -> None:
    hub.add("someone/portraits", {"delta.json": b"{}", "README.md": b"", "picture.png": b""})
    with pytest.raises(HubFault, match=r"holds 'delta.json' of another model, with which this one would mix"):
        push(small, NAME)


def test_who_may_not_write_is_told_to_log_in(hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(HubFault, match="hf auth login") as told:
        push(small, NAME)
    assert "hf_another" not in str(told.value)


def test_an_upload_that_breaks_off_is_told(hub: Hub, small: Path) -> None:
    (small / "vae").mkdir()
    (small / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    hub.stores_nothing = True
    with pytest.raises(
        HubFault, match=r"^someone/portraits: Error while uploading 'vae/[^:]* \(status 403\); try again"
    ):
        push(small, NAME)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push-to", "portraits"], "'portraits' is no repository on the hub; give owner/name"),
        (["--push-to", "someone/portraits@x"], "'someone/portraits@x' is no repository on the hub"),
        (["--push-to", "someone/portraits", "--revision", "../x"], "with the branch '../x' is no repository"),
        (["--private"], "--private goes with --push-to"),
        (["--revision", "x"], "--revision goes with --push-to"),
    ],
)
def test_where_nothing_can_be_pushed_to_nothing_is_exported(
    hub: Hub, student_run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    assert run_fada(["export", str(student_run), "--out", "model", *arguments]) == 2
    assert message in " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert not Path("model").exists()
    assert not hub.asked


def test_without_a_login_or_offline_nothing_is_exported(
    hub: Hub, student_run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["export", str(student_run), "--out", "model", "--push-to", "someone/portraits"]
    monkeypatch.delenv("HF_TOKEN")
    assert run_fada(command) == 2
    assert "nobody is logged in to push to someone/portraits; run hf auth login" in capfd.readouterr().err
    go_offline(monkeypatch)
    assert run_fada(command) == 2
    assert "HF_HUB_OFFLINE is set, so nothing goes to someone/portraits" in capfd.readouterr().err
    assert not Path("model").exists()


def test_a_push_that_fails_leaves_the_folder_and_says_how_to_go_on(
    hub: Hub, student_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add("someone/portraits", {"delta.json": b"{}"})
    assert run_fada(["export", str(student_run), "--out", "model", "--push-to", "someone/portraits"]) == 2
    assert "`hf upload someone/portraits model` uploads it" in capfd.readouterr().err.replace("\n", " ")
    assert Path("model/model_index.json").is_file()


def test_only_what_a_model_may_hold_is_downloaded_and_as_plain_files(hub: Hub) -> None:
    more = {"vae/model.bin": b"pickle", "run.py": b"code", ".hidden.json": b"{}", "a/b/c.json": b"{}"}
    hub.add("someone/portraits", {**MODEL, **more})
    folder = model_folder(Path("someone/portraits"))
    assert files_in(folder) == MODEL
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    assert not [line for line in hub.asked if line.endswith((".bin", ".py"))]


def test_a_model_of_pickles_alone_is_not_taken(hub: Hub) -> None:
    index = {"_class_name": "FadaPipeline"}
    hub.add("someone/portraits", {"model_index.json": json.dumps(index).encode(), "vae/model.bin": b"pickle"})
    with pytest.raises(ValueError, match="lacks the component vae"):
        open_model(Path("someone/portraits"))


@pytest.mark.parametrize("name", ["../../../../escaped.json", "vae/../../../../../escaped.json"])
def test_a_path_that_leads_out_is_not_taken(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.add("someone/portraits", {**MODEL, name: b"{}"})
    with pytest.raises(HubFault, match=r"^someone/portraits: huggingface_hub does not take"):
        model_folder(Path("someone/portraits"))
    assert not list(tmp_path.rglob("escaped.json"))


def test_a_cache_whose_link_leads_out_is_not_opened(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("someone/portraits", MODEL)
    model_folder(Path("someone/portraits"))
    index = next((tmp_path / "home" / "hub").rglob("snapshots/*/model_index.json"))
    index.unlink()
    (tmp_path / "secret").write_text("{}")
    index.symlink_to(tmp_path / "secret")
    go_offline(monkeypatch)
    with pytest.raises(HubFault, match="leads out of the hub's cache"):
        model_folder(Path("someone/portraits"))


def test_what_is_cached_is_opened_offline_and_nothing_else(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("someone/portraits", MODEL)
    folder = model_folder(Path("someone/portraits"))
    go_offline(monkeypatch)
    hub.asked.clear()
    assert model_folder(Path("someone/portraits")) == folder
    for name in ("someone/other", "someone/portraits@v2"):
        with pytest.raises(HubFault, match=rf"{name}: no such folder here, and not whole in .*HF_HUB_OFFLINE is set"):
            model_folder(Path(name))
    assert not hub.asked


def test_a_hub_that_does_not_answer_leaves_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.add("someone/portraits", MODEL)
    folder = model_folder(Path("someone/portraits"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert model_folder(Path("someone/portraits")) == folder
    with pytest.raises(HubFault, match=r"http://127\.0\.0\.1:9 does not answer; fetch it once with a network"):
        model_folder(Path("someone/other"))


def test_a_new_commit_is_another_folder(hub: Hub) -> None:
    repository = hub.add("someone/portraits", MODEL)
    first = model_folder(Path("someone/portraits"))
    mark = repository.branches["main"]
    hub.add("someone/portraits", {**MODEL, "model_index.json": b'{"new": 1}'})
    assert (model_folder(Path("someone/portraits")) / "model_index.json").read_bytes() == b'{"new": 1}'
    assert model_folder(Path(f"someone/portraits@{mark}")) == first
    assert files_in(first) == MODEL


def test_of_a_snapshot_that_was_incomplete_a_later_one_takes_nothing(tmp_path: Path) -> None:
    # As a version of huggingface_hub that does not look whether it is whole would give it.
    snapshot, cache = tmp_path / "cache" / "snapshots" / "abc", (tmp_path / "cache").resolve()
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_bytes(b"{}")
    half = _plain(snapshot, cache, tmp_path / "models")
    (snapshot / "README.md").write_bytes(b"all of it")
    assert files_in(_plain(snapshot, cache, tmp_path / "models")) == {
        "model_index.json": b"{}",
        "README.md": b"all of it",
    }
    assert files_in(half) == {"model_index.json": b"{}"}


def test_a_folder_of_that_name_wins(hub: Hub) -> None:
    hub.add("someone/portraits", MODEL)
    Path("someone/portraits").mkdir(parents=True)
    assert model_folder(Path("someone/portraits")) == Path("someone/portraits")
    assert not hub.asked


def test_what_the_hub_does_not_give_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubFault, match=r"runs/demo: no such folder here, and no such model at .*, or a private one"):
        model_folder(Path("runs/demo"))
    hub.add("someone/portraits", MODEL)
    with pytest.raises(HubFault, match=r"someone/portraits has no branch, tag or commit 'v2' at http"):
        model_folder(Path("someone/portraits@v2"))
    hub.gated.add("someone/portraits")
    with pytest.raises(HubFault, match="gives it to those alone whom its authors let in; ask on the model's page"):
        model_folder(Path("someone/portraits"))
    hub.add("someone/hidden", MODEL).private = True
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubFault, match=r"or a private one; look at the name, or log in \(hf auth login"):
        model_folder(Path("someone/hidden"))


@pytest.mark.parametrize(
    "text", ["demo", "a/b/c", "../demo", "a--b/c", "a/b.git", "a/b@", "a/b@../c", "hub:a/b", "-a/b"]
)
def test_what_is_neither_folder_nor_name_asks_nobody(hub: Hub, text: str) -> None:
    assert hub_name(text) is None
    assert model_folder(Path(text)) == Path(text)
    with pytest.raises(ValueError, match=r"no such folder, and no name of a model on the hub \(owner/name@revision\)"):
        FadaPipeline.from_pretrained(text)
    with pytest.raises(ValueError, match="give a run or a model, or owner/name"):
        open_model(Path(text))
    assert not hub.asked


def test_names_and_files() -> None:
    assert hub_name("some-one/por.traits_2@v1.0/x") == HubName("some-one/por.traits_2", "v1.0/x")
    for path in ("model_index.json", "vae/model-00001-of-00002.safetensors", "recipe.yaml", "README.md"):
        assert is_held(path)
    for path in ("a.bin", "../a.json", "/a.json", "a/b/c.json", ".a.json", ".git/a.json", "a.json\n", "a\\b.json", ""):
        assert not is_held(path)


def test_the_hub_s_own_settings_come_from_the_environment(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/portraits", MODEL).private = True
    code = "from pathlib import Path; from fada.pretrained.hub import model_folder\n"
    code += "print(model_folder(Path('someone/portraits')))"

    def opened(**more: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        given = {"HF_HOME": str(tmp_path / "other"), "HF_ENDPOINT": hub.address, "HF_TOKEN": hub.token, **more}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env={**kept, **given}, capture_output=True, text=True, check=False)

    assert "HF_HUB_OFFLINE is set" in opened(HF_HUB_OFFLINE="1").stderr
    done = opened(HF_HUB_DISABLE_XET="1")
    assert done.stdout.startswith(str(tmp_path / "other" / "assets" / "fada")), done.stderr
    assert opened(HF_HUB_OFFLINE="1").stdout == done.stdout
