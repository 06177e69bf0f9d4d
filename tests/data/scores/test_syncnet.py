"""SyncNet on a clip: what the network is given, with a stand-in and (`make test-extras`) with the package itself."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fada.data.clips.clip import Clip
from fada.data.scores import Models, SyncNet, SyncNetError, score_folder
from fada.data.scores.face import FaceTrack, find_face
from fada.data.scores.syncnet import lower_faces
from fada.data.world import make_clip, make_world
from fada.eval.metrics.lip_sync import lip_sync
from fada.eval.metrics.networks.syncnet import SyncNet as OurSyncNet
from fada.media.image import read_image


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """A stand-in that notes what lies in the folder it is given."""
    calls: list[SimpleNamespace] = []

    class Instance:
        def __init__(self, net: torch.nn.Module, device: str) -> None:
            assert not net.training
            assert device == "cpu"

        def evaluate(self, options: SimpleNamespace) -> tuple[int, float, float]:
            pictures = sorted(Path(options.tmp_dir).glob("*.jpg"))
            sizes = {read_image(picture).shape[:2] for picture in pictures}
            calls.append(SimpleNamespace(count=len(pictures), sizes=sizes, shifts=options.vshift))
            return 3, 10.0, 5.4

    monkeypatch.setitem(sys.modules, "syncnet_python", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "syncnet_python.SyncNetInstance", SimpleNamespace(SyncNetInstance=Instance))
    monkeypatch.setitem(sys.modules, "syncnet_python.SyncNetModel", SimpleNamespace(S=Network))
    return calls


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "syncnet_v2.model"
    torch.save(Network().state_dict(), path)
    return path


def test_the_crop_reaches_from_the_forehead_past_the_chin_and_is_grey_outside() -> None:
    frames = np.full((2, 100, 100, 3), 200, np.uint8)
    frames[:, 50:] = 20
    face = FaceTrack(np.full((2, 2), 0.5), np.zeros((2, 2)), np.full(2, 0.6), *[np.zeros(2)] * 3, None, None)
    crop = lower_faces(frames, face)[0]
    # 84 pixels wide from x 8, from y 17 down to 101: the edge at y 50 lies at 33 of 84.
    assert crop.shape == (224, 224, 3)
    assert np.argmax(crop[:, 112, 0] < 110) == pytest.approx(224 * 33 / 84, abs=2)
    assert crop[-1, 112].tolist() == pytest.approx([100, 100, 100], abs=15)


def test_every_frame_and_the_sound_are_shown_to_it(seen, weights: Path, tmp_path: Path) -> None:
    clip = make_clip(0, 0, size=64, frames=30)
    face = find_face(tmp_path, clip, None)
    assert face is not None
    assert SyncNet(weights)(clip, face) == (3.0, 10.0, 5.4)
    assert (seen[0].count, seen[0].sizes, seen[0].shifts) == (30, {(224, 224)}, 15)
    short = Clip(clip.key, clip.frames[:20], clip.audio, meta=clip.meta)
    assert SyncNet(weights)(short, face) is None


def test_its_scores_stand_beside_the_others(seen, weights: Path, tmp_path: Path) -> None:
    make_world(tmp_path / "world", clips=1, size=48, frames=30)
    (scores,) = score_folder(tmp_path / "world", Models(syncnet=weights)).scores.values()
    assert (scores["syncnet_offset"], scores["syncnet_confidence"], scores["syncnet_distance"]) == (3.0, 10.0, 5.4)


def test_what_is_wrong_with_weights_or_package_is_one_clear_line(seen, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(SyncNetError, match=r"text: not the weights of SyncNet .*give syncnet_v2.model"):
        SyncNet(tmp_path / "text")
    with pytest.raises(SyncNetError, match="no such file"):
        Models(syncnet=tmp_path / "missing").identity()
    monkeypatch.setitem(sys.modules, "syncnet_python.SyncNetModel", None)
    with pytest.raises(SyncNetError, match=r"cannot be imported .*fada\[syncnet\]"):
        SyncNet(tmp_path / "text")


@pytest.mark.syncnet
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_package_itself_says_of_random_weights_what_our_metric_says(tmp_path: Path, seed: int) -> None:
    from syncnet_python.SyncNetModel import S

    torch.manual_seed(seed)
    published = S()
    torch.save(published.state_dict(), tmp_path / "syncnet_v2.model")
    clip = make_clip(seed, 0, size=64, frames=60)
    face = find_face(tmp_path, clip, None)
    assert face is not None
    found = SyncNet(tmp_path / "syncnet_v2.model")(clip, face)
    assert found is not None
    ours = OurSyncNet().eval()
    ours.load_state_dict(published.state_dict())
    with torch.no_grad():
        expected = lip_sync(ours, lower_faces(clip.frames, face), clip.audio, clip.fps, clip.sample_rate)
    # The package reads its frames from JPEG files.
    offset, confidence, distance = found
    assert offset == expected.offset
    assert distance == pytest.approx(expected.distance, rel=2e-3)
    assert confidence == pytest.approx(expected.confidence, abs=2e-3)
