"""DNSMOS: which windows the network hears, what becomes of its answers, and (with its weights) the public figures."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from fada.data.scores import Models, SpeechQuality, SpeechQualityError, dnsmos, load_thresholds, score_folder
from fada.data.world import make_world

RATE = 16_000


def write_stub(path: Path, length: int = dnsmos.LENGTH) -> Path:
    """A network that answers with the mean, the largest value and the least of what it hears."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["sound"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("ReduceMax", ["sound"], ["most"], axes=[1], keepdims=1),
            helper.make_node("ReduceMin", ["sound"], ["least"], axes=[1], keepdims=1),
            helper.make_node("Concat", ["mean", "most", "least"], ["answers"], axis=1),
        ],
        "dnsmos_stub",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, ["N", length])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, ["N", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write_stub(tmp_path / "sig_bak_ovr.onnx")
    monkeypatch.setattr(dnsmos, "PUBLISHED", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def opinion(voice: float, background: float, whole: float) -> tuple[float, float, float]:
    """The public polynomials (speechmos, get_polyfit_val)."""
    return (
        -0.08397278 * voice**2 + 1.22083953 * voice + 0.0052439,
        -0.13166888 * background**2 + 1.60915514 * background - 0.39604546,
        -0.06766283 * whole**2 + 1.11546468 * whole + 0.04602535,
    )


def test_answers_become_opinions(stub: Path) -> None:
    sound = np.full(dnsmos.LENGTH, 0.5, np.float32)
    sound[:72_080] = -0.25
    assert SpeechQuality(stub)(sound) == pytest.approx(opinion(0.125, 0.5, -0.25), abs=1e-5)


def test_windows_begin_a_second_apart_and_the_rest_of_a_second_is_not_heard(stub: Path) -> None:
    # 12.5 seconds: windows at 0, 1 and 2; a fourth would begin at 3 and end at 12.01.
    sound = np.zeros(200_000, np.float32)
    sound[dnsmos.LENGTH + 2 * RATE - 1] = 0.8
    whole = [opinion(0, 0, 0)[1], opinion(0, 0, 0)[1], opinion(0, 0.8, 0)[1]]
    found = SpeechQuality(stub)(sound)
    assert found is not None
    assert found[1] == pytest.approx(np.mean(whole), abs=1e-5)


def test_a_short_sound_is_repeated_and_none_has_no_opinion(stub: Path) -> None:
    sound = np.tile(np.array([0.1, 0.3], np.float32), RATE // 2)
    assert SpeechQuality(stub)(sound) == pytest.approx(opinion(0.2, 0.3, 0.1), abs=1e-4)
    assert SpeechQuality(stub)(np.zeros(0, np.float32)) is None


def test_its_scores_stand_beside_the_others_and_make_earlier_ones_stale(stub: Path, tmp_path: Path) -> None:
    make_world(tmp_path / "world", clips=1, size=48, frames=30)
    before = score_folder(tmp_path / "world")
    assert next(iter(before.scores.values()))["dnsmos_overall"] is None
    assert score_folder(tmp_path / "world").measured == 0
    scored = score_folder(tmp_path / "world", Models(dnsmos=stub))
    assert scored.measured == 1
    (scores,) = scored.scores.values()
    assert all(isinstance(scores[f"dnsmos_{name}"], float) for name in ("signal", "background", "overall"))


def test_scores_from_before_are_kept_and_lack_what_was_not_known(tmp_path: Path) -> None:
    import json

    make_world(tmp_path / "world", clips=1, size=48, frames=30)
    score_folder(tmp_path / "world")
    (kept,) = (tmp_path / "world" / ".scores").rglob("*.json")
    record = json.loads(kept.read_text())
    record["scores"] = {name: value for name, value in record["scores"].items() if not name.startswith("dnsmos")}
    kept.write_text(json.dumps(record))
    again = score_folder(tmp_path / "world")
    assert again.measured == 0
    assert next(iter(again.scores.values()))["dnsmos_signal"] is None


def test_thresholds_know_its_scores(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("sync:\n  dnsmos_overall: {min: 2.5}\n")
    limits = load_thresholds(tmp_path / "own.yaml")
    assert limits.failed({"dnsmos_overall": 2.4}) == ["dnsmos_overall"]
    assert limits.failed({"dnsmos_overall": 2.6}) == limits.failed({}) == []


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpeechQualityError, match=r"none\.onnx: no such file; give sig_bak_ovr\.onnx of speechmos"):
        SpeechQuality(tmp_path / "none.onnx")
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(SpeechQualityError, match="its SHA-256 begins 1785cfc3bc6a, the published one 269fbebdb513"):
        SpeechQuality(tmp_path / "a.onnx")
    monkeypatch.setattr(dnsmos, "PUBLISHED", hashlib.sha256(b"nothing").hexdigest())
    with pytest.raises(SpeechQualityError, match=r"a\.onnx: not readable as ONNX"):
        SpeechQuality(tmp_path / "a.onnx")
    other = write_stub(tmp_path / "b.onnx", length=160)
    monkeypatch.setattr(dnsmos, "PUBLISHED", hashlib.sha256(other.read_bytes()).hexdigest())
    with pytest.raises(SpeechQualityError, match=r"not DNSMOS, its ports are \[\['N', 160\], \['N', 3\]\]"):
        SpeechQuality(other)


def test_without_onnxruntime_the_extra_is_named(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SpeechQualityError, match=r"pip install 'fada\[metrics\]'"):
        SpeechQuality(stub)


def test_the_published_network_says_what_microsofts_package_says() -> None:
    weights = os.environ.get("FADA_DNSMOS")
    if not weights:
        pytest.skip("FADA_DNSMOS names no sig_bak_ovr.onnx")
    time = np.arange(11 * RATE) / RATE
    sound = (0.3 * np.sin(2 * np.pi * 180 * time) * (np.sin(2 * np.pi * 3 * time) > 0)).astype(np.float32)
    # speechmos 0.0.1.1, dnsmos.run(sound, 16000): sig_mos, bak_mos, ovrl_mos.
    assert SpeechQuality(Path(weights))(sound) == pytest.approx((1.690199, 2.260392, 1.346351), abs=1e-3)
