"""What every test runs under: no network, fixed seeds, one thread, no windows; how tests share the processors."""

from __future__ import annotations

import functools
import gc
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fada.media.processors import usable_processors
from tests.shapes import check_shapes

if TYPE_CHECKING:
    import torch

    from fada.teacher.dual_unet.model import DualUNet
    from fada.teacher.inputs import ClipInputs

# As many processes of tests as processors: a second thread in each would wait for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DS_ACCELERATOR"] = os.environ.get("DS_ACCELERATOR", "cpu")

check_shapes()

# Whatever is loaded while the tests are collected stays; the first test turns it on.
gc.disable()
ROOT = Path(__file__).resolve().parent.parent


@functools.wraps(os.fsync)
def _fsync(descriptor: Any) -> None:
    """In place of the real one, which waits for the disk at every line of a log: no test pulls the plug.

    Whatever it would refuse is refused. tests/files, where writing is the subject, and processes that tests start have
    the real one.
    """
    os.fstat(descriptor if isinstance(descriptor, int) else descriptor.fileno())


os.fsync = _fsync
TOGETHER = (
    ("tests/runs/test_run.py", "tests/runs/test_processes.py", "tests/runs/test_run_folders_are_held.py"),
    ("tests/runs/test_broken_runs.py", "tests/runs/test_damaged_parts.py"),
    ("tests/data/scores/test_folder.py", "tests/data/scores/test_truth.py"),
)
"""Files that share a session fixture of many seconds: one process runs them, and makes it once."""
LONGEST = (
    # Begins with two processes that never wait; beside them those that do little but wait for what hangs.
    "tests/runs/test_run.py",
    "tests/data/test_prepare_ray.py",
    "tests/data/test_prepare_executors.py",
    # Two processes again, beside one that never waits.
    "tests/engine/test_processes.py",
    "tests/runs/test_shards_on_ray.py",
    "tests/runs/test_hallo.py",
    "tests/runs/test_broken_runs.py",
    "tests/data/scores/test_folder.py",
    "tests/examples/",
    "tests/runs/",
    "tests/fuzz/",
    "tests/data/",
)
"""What takes longest, in that order: begun first, so that at the end no process is left alone with much."""
NEW_MODULES = 100
"""So many more are loaded before they are put out of the garbage collector's sight again."""


def group_of(name: str) -> str:
    """The first of the files that one process runs together with a test's, by the test's name."""
    file = name.partition("::")[0]
    return next((files[0] for files in TOGETHER if file in files), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """The processes of tests, and those that tests start, keep what they compile.

    Without it each compiles the tests and fada anew: four seconds, and half a second. Those that change code while they
    run (tests/mutants) forbid it for themselves.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a process for each processor that may be used, at most eight (each takes up to 2 GB)."""
    return min(usable_processors(), 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Processes take whole groups of files, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In processes that share the tests, the longest come first; else the order stays."""
    if not hasattr(config, "workerinput"):
        return

    def place(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return next((place for place, name in enumerate(LONGEST) if group.startswith(name)), len(LONGEST))

    items.sort(key=place)


_seen = 0


def pytest_runtest_setup() -> None:
    """Keep loaded modules out of the garbage collector's sight.

    Each training ends with a `gc.collect()` of accelerate's, which would look through all of torch again: as long as
    many a small training takes.
    """
    global _seen
    # Whether anything is frozen is not asked: Python counts all that is, as long as ten tests take.
    if len(sys.modules) > _seen + NEW_MODULES or not _seen:
        gc.collect()
        gc.freeze()
        gc.enable()
        _seen = len(sys.modules)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave the machine in no test; processes of one test may still talk to each other."""
    connect = socket.socket.connect

    def refuse_remote(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1") and self.family != socket.AF_UNIX:
            raise AssertionError(f"a test tried to reach {host}: tests need no network")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", refuse_remote)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Tests that forget their generator are still the same every time."""
    import random

    random.seed(0)
    # Only where a test has loaded them already: importing torch costs seconds.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        # Where there is no device, torch's own would note from where it was called, for later: longer than many a test.
        (torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed)(0)


@pytest.fixture
def dual_unet() -> DualUNet:
    """A tiny teacher in float64 whose zero-initialised layers are shaken, so that every condition has an effect."""
    import torch

    from fada.diffusion.paths import NoisePath
    from fada.teacher.dual_unet.audio_projection import AudioProjection
    from fada.teacher.dual_unet.model import DualUNet
    from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet

    shape = {
        "channels": (8, 16),
        "layers_per_block": 1,
        "heads": 2,
        "attention_levels": (False, True),
        "temporal_levels": (True, True),
        "norm_groups": 4,
    }
    torch.manual_seed(0)
    path = NoisePath.from_config(
        {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True}
    )
    projection = AudioProjection(5, 1, 12, 16, 2, 8)
    network = DualUNet(ReferenceUNet(**shape), DenoisingUNet(**shape, audio_dim=8, max_frames=8), projection, path)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.double().eval().requires_grad_(False)


@pytest.fixture
def teacher(dual_unet: DualUNet) -> DualUNet:
    """The same, where it is what a student learns from."""
    return dual_unet


@pytest.fixture
def inputs() -> ClipInputs:
    """Conditions of two random clips of three frames, with two motion frames."""
    import torch

    from fada.teacher.inputs import ClipInputs

    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return ClipInputs(randn(2, 4, 8, 8), randn(2, 3, 5, 1, 12), randn(2, 2, 4, 8, 8), torch.ones(2).bool())


@pytest.fixture
def latents() -> torch.Tensor:
    """Noisy latents of two clips of three frames."""
    import torch

    return torch.randn(2, 3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def dancer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A family whose guidance has other names, none < tempo < mood, for the length of a test; it has no networks."""
    from fada import family
    from fada.teacher.dual_unet.settings import Pipeline

    guidance = family.Guidance(
        ("none", "tempo", "mood"), {"tempo": 2.0, "mood": 4.0}, {"tempo": (1.0, 3.0), "mood": (0.5, 6.0)}
    )
    made = family.Family("dancer", "Dancer", "DancerPipeline", guidance, module="nowhere", settings=Pipeline)
    monkeypatch.setitem(family._registered, made.name, made)
    return made
