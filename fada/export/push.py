"""An exported folder onto a model hub: its own files by name, and nothing else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from fada.files.folders import check_no_links
from fada.pretrained.hub import HubFault, HubName, hub_faults, hub_name, is_held

_DESCRIBING = (".safetensors", ".json", ".yaml")
"""Endings of files that make a model what it is: those of two models must not mix."""


def push_target(repo: str, branch: str | None = None) -> HubName:
    """Where a folder shall go, known before anything is exported: a name, a login, and no offline mode.

    Raises:
        HubFault: one of them is wrong or missing.
    """
    from huggingface_hub import constants, get_token

    name = hub_name(repo if branch is None else f"{repo}@{branch}")
    if name is None or name.revision != branch:
        what = f"{repo!r}" if branch is None else f"{repo!r} with the branch {branch!r}"
        raise HubFault(f"--push-to: {what} is no repository on the hub; give owner/name, and a branch with --revision")
    if constants.HF_HUB_OFFLINE:
        raise HubFault(f"--push-to: HF_HUB_OFFLINE is set, so nothing goes to {name}; unset it, or export without")
    if get_token() is None:
        raise HubFault(f"--push-to: nobody is logged in to push to {name}; run hf auth login, or set HF_TOKEN")
    return name


def files_to_push(folder: Path) -> list[str]:
    """The files of an exported folder, sorted.

    Raises:
        FolderFault: something in it is a link.
        HubFault: it holds anything that no exported folder does, such as a run's state: nobody asked to publish that.
    """
    check_no_links(folder)
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())
    other = next((file for file in files if not is_held(file)), None)
    if other is not None:
        raise HubFault(f"{folder / other}: is no part of an exported model, so nothing was uploaded; take it out")
    return files


def push(folder: Path, name: HubName, *, private: bool = False) -> str:
    """Upload an exported folder as one commit; the repository and the branch are made where they are missing.

    Args:
        name: of `push_target`.
        private: the repository is to be private: a new one is made so, one that is public is refused.

    Returns:
        The commit's address.

    Raises:
        HubFault: see `files_to_push`; the hub refuses; the repository is public and `private` asked for; or it holds
            files of another model, which would mix with this one's.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    files = files_to_push(folder)
    api = HfApi(library_name="fada")
    with hub_faults(name):
        api.create_repo(name.repo, private=private or None, exist_ok=True)
        if private and not api.model_info(name.repo).private:
            raise HubFault(f"{name}: is there already and public, --private was asked for; nothing was uploaded")
        if name.revision is not None:
            api.create_branch(name.repo, branch=name.revision, exist_ok=True)
        there = api.list_repo_files(name.repo, revision=name.revision)
        strays = [file for file in there if PurePosixPath(file).suffix in _DESCRIBING and file not in files]
        if strays:
            raise HubFault(
                f"{name}: holds {strays[0]!r}{' and more' if strays[1:] else ''} of another model, with which this one "
                "would mix; give another repository or --revision, or remove it there"
            )
        operations = [CommitOperationAdd(file, str(folder / file)) for file in files]
        done = api.create_commit(name.repo, operations, commit_message="Exported with fada", revision=name.revision)
    return str(done.commit_url)
