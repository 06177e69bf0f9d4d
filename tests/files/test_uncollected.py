"""Heavy imports: garbage is collected again afterwards, and only what somebody switched off stays off."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from fada.files import uncollected as module
from fada.files.uncollected import uncollected


def test_garbage_is_collected_again_afterwards_also_when_an_import_fails() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_who_had_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_nothing_is_frozen_before_the_end_of_the_process_and_then_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[object] = []
    monkeypatch.setattr(module.atexit, "register", registered.append)
    module._not_at_the_end.cache_clear()
    before = gc.get_freeze_count()
    for _ in range(2):
        with uncollected():
            pass
    assert registered == [gc.freeze]
    assert gc.get_freeze_count() == before


TRAINING = ("scipy.signal", "fada.run", "fada.studies", "fada.data.world", "fada.data.sampling.dataset",
            "fada.student.mixed_loss", "fada.teacher.float.codec_training")  # fmt: skip


def test_a_model_is_opened_without_what_trains() -> None:
    code = (
        "import sys; from fada.family import families; import fada.export.opening\n"
        "for each in families().values(): each.networks\n"
        f"print([each for each in {TRAINING} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_clips_are_drawn_without_torch_and_read_without_scipys_signals(tmp_path: Path) -> None:
    code = (
        "import sys; from fada.data.world import make_world; print('scipy.signal' in sys.modules)\n"
        "make_world(sys.argv[1], 1, size=32, frames=2, emotion=True); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "world")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
