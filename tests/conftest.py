"""What every test runs under: no network, fixed seeds, one thread, no windows; how tests share the processors."""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fada.media.processors import usable_processors

if TYPE_CHECKING:
    import torch

    from fada.teacher.dual_unet import DualUNet
    from fada.teacher.inputs import ClipInputs

# As many processes of tests as processors: a second thread in each would wait for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DS_ACCELERATOR"] = os.environ.get("DS_ACCELERATOR", "cpu")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ("finished", "tiny_run", "scored")
"""Session fixtures that cost many seconds: all tests that use one are run by one process, which makes it once."""
LONGEST = ()
"""Groups of tests that take longest, by the beginning of their name: begun first, so that at the end no process is left
alone with one. Nothing but the time depends on it."""
NEW_MODULES = 100
"""So many more are loaded before they are put out of the garbage collector's sight again."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a process for each processor that may be used, at most eight (each takes up to 2 GB)."""
    return min(usable_processors(), 8)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Where several processes run the tests (`--dist loadgroup`): what one of them runs whole, and what comes first."""
    if not hasattr(config, "workerinput"):
        return
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    last = len(LONGEST)
    places = {
        group: next((i for i, name in enumerate(LONGEST) if group.startswith(name)), last) for group in groups.values()
    }
    items.sort(key=lambda item: places[groups[item]])


def _group(item: pytest.Function) -> str:
    """Name of the tests that stay together: a shared fixture's, or their file's."""
    for name in SHARED:
        for fixture in item._fixtureinfo.name2fixturedefs.get(name, ()):
            if fixture.scope == "session":
                return f"{fixture.baseid}:{name}"
    return item.nodeid.partition("::")[0]


_seen = 0


def pytest_runtest_setup() -> None:
    """Keep loaded modules out of the garbage collector's sight.

    Each training ends with a `gc.collect()` of accelerate's, which would look through all of torch again: as long as
    many a small training takes.
    """
    global _seen
    if len(sys.modules) > _seen + NEW_MODULES:
        gc.collect()
        gc.freeze()
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
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def dual_unet() -> DualUNet:
    """A tiny teacher in float64 whose zero-initialised layers are shaken, so that every condition has an effect."""
    import torch

    from fada.diffusion.paths import NoisePath
    from fada.teacher.dual_unet import AudioProjection, DenoisingUNet, DualUNet, ReferenceUNet

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
