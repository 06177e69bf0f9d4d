"""Models on a model hub: ``owner/name``, or ``owner/name@revision``, as a plain folder of this machine.

Only files that a model's folder may hold are downloaded; no pickles, no code. huggingface_hub keeps them in its cache,
as links; what is opened is a folder of plain files beside it, so that the checks of any folder from others hold.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fada.files.whole import link_or_copy, name_unless_there, sync_tree, temporary_name
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.shipped import located

ENDINGS = (".safetensors", ".json", ".yaml", ".md")
"""Of the files that a model's folder may hold."""
_FILE = re.compile(r"([A-Za-z0-9_-]{1,64}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}")
_OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?P<repo>{_OWNER}/{_OWNER})(?:@(?P<revision>[A-Za-z0-9_][A-Za-z0-9_./-]{{0,200}}))?")


class HubFault(ModelFolderError):
    """A model that the hub does not have, does not give, or does not take."""


@dataclass(frozen=True)
class HubName:
    """A model on the hub: its repository, `owner/name`, and a branch, tag or commit; None is the main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def hub_name(text: str) -> HubName | None:
    """What `owner/name` or `owner/name@revision` names; None where a text is neither."""
    match = _NAME.fullmatch(text)
    # The hub forbids these in its names, and in a revision they would lead elsewhere.
    if match is None or ".." in text or "--" in match["repo"] or match["repo"].endswith(".git"):
        return None
    return HubName(match["repo"], match["revision"])


def is_held(file: str) -> bool:
    """Whether a model's folder may hold a file of this path: in it or in a component, of a kind that runs nothing."""
    return _FILE.fullmatch(file) is not None and file.endswith(ENDINGS)


def model_folder(path: Path) -> Path:
    """Where a model lies that somebody names: a folder, `shipped:NAME`, or a model on the hub, which is downloaded.

    Whatever this machine has under the name wins; what is no name on the hub stays as it is. HF_HOME, HF_ENDPOINT,
    HF_HUB_OFFLINE and HF_TOKEN mean what they mean to huggingface_hub; what is in its cache is opened without the hub.

    Raises:
        HubFault: the hub has no such model, or does not give it.
        ModelFolderError: nothing of that name comes with the package.
    """
    folder = located(path)
    name = hub_name(str(path))
    if name is None or os.path.lexists(folder):
        return folder
    from huggingface_hub import cached_assets_path, constants, snapshot_download

    with hub_faults(name, "no such folder here, and "):
        snapshot = Path(
            snapshot_download(
                name.repo,
                revision=name.revision,
                allow_patterns=[f"*{ending}" for ending in ENDINGS],
                library_name="fada",
            )
        )
    models = cached_assets_path("fada", "models", name.repo.replace("/", "--"))
    return _plain(snapshot, Path(constants.HF_HUB_CACHE).expanduser().resolve(), models)


def _plain(snapshot: Path, cache: Path, models: Path) -> Path:
    """The files of a snapshot, which are links into the cache, as a folder of plain ones in `models`."""
    files = {}
    for file in sorted(snapshot.rglob("*")):
        path = file.relative_to(snapshot).as_posix()
        if is_held(path) and file.is_file():
            files[path] = file.resolve()
            if cache not in files[path].parents:
                raise HubFault(f"{file}: leads out of the hub's cache; remove {snapshot} and fetch the model again")
    # A commit's files never change, but a snapshot may have been incomplete: then it was another folder.
    listed = "\n".join(f"{path} {file.stat().st_size}" for path, file in files.items())
    folder = models / f"{snapshot.name[:40]}-{hashlib.sha256(listed.encode()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    models.mkdir(parents=True, exist_ok=True)
    partial = models / temporary_name("")
    try:
        for path, file in files.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, partial / path)
        partial.mkdir(exist_ok=True)
        sync_tree(partial)
        name_unless_there(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


@contextmanager
def hub_faults(name: HubName, otherwise: str = "") -> Iterator[None]:
    """Errors of huggingface_hub within the block as `HubFault`, with what to do.

    Args:
        otherwise: what else was looked for, for messages: `no such folder here, and `.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # Of the HTTP library, which is another one by version of huggingface_hub.
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    at = constants.ENDPOINT
    try:
        yield
    except HubFault:
        raise
    except GatedRepoError as error:
        raise HubFault(
            f"{name}: {otherwise}{at} gives it to those alone whom its authors let in; ask on the model's page, then "
            "log in (hf auth login, or HF_TOKEN)"
        ) from error
    except RevisionNotFoundError as error:
        raise HubFault(
            f"{name}: {otherwise}{name.repo} has no branch, tag or commit {name.revision!r} at {at}; "
            "give another one behind the @, or none for the main branch"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubFault(
            f"{name}: {otherwise}no such model at {at}, or a private one; look at the name, or log in "
            "(hf auth login, or HF_TOKEN)"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{at} does not answer"
        raise HubFault(
            f"{name}: {otherwise}not whole in the hub's cache ({constants.HF_HUB_CACHE}), and {why}; fetch it "
            "once with a network, or give a folder"
        ) from error
    except HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else None
        what = " (log in as who may: hf auth login, or HF_TOKEN)" if code in (401, 403) else ""
        raise HubFault(f"{name}: {at} refuses: {error.server_message or code}{what}") from error
    except http_error as error:
        raise HubFault(f"{name}: {at} does not answer ({error}); try again later") from error
    except RuntimeError as error:
        # What an upload in threads makes of whatever ended it. Its address, which may be signed, is not for logs.
        cause = error.__cause__
        status = f"status {cause.response.status_code}" if isinstance(cause, HfHubHTTPError) else type(cause).__name__
        raise HubFault(f"{name}: {error} ({status}); try again later") from error
    except ValueError as error:
        raise HubFault(f"{name}: huggingface_hub does not take what {at} holds or says ({error})") from error
