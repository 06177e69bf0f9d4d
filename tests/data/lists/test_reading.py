"""Reading public lists; the lines below are laid out as the published ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fada.data.lists import ListError, read_list
from fada.data.lists.celebv_hq import ShareBox
from fada.data.lists.hdtf import HeightBox
from fada.media.cutting import PixelBox

HDTF = {
    "RD_video_url.txt": "Radio11 https://www.youtube.com/watch?v=XtySvTwIOfw&t=6s\nRadio24 https://www.youtube.com/watch?v=x\n",
    "RD_annotion_time.txt": "Radio11.mp4 00:30-01:00 01:30-02:30 \n",
    "RD_resolution.txt": "Radio11.mp4 720\nRadio24.mp4 720\n",
    "RD_crop_wh.txt": "Radio11_0.mp4 412 599 0 599\nRadio11_1.mp4 557 478 0 478\n",
    "WRA_video_url.txt": "\ufeffMary-Jane2 https://www.youtube.com/watch?v=dyGp3W5yMwE\n",
    "WRA_annotion_time.txt": "Mary-Jane2.mp4 01:00:05-01:00:07\n",
    "WRA_resolution.txt": "Mary-Jane2.mp4 1080\n",
    "WRA_crop_wh.txt": "Mary-Jane2_0.mp4 591 806 37 806\n",
}


def write_hdtf(folder: Path, **changed: str | None) -> Path:
    """The lists above; a keyword replaces a file, None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (HDTF | {f"{name}.txt": text for name, text in changed.items()}).items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def clip_entry(**changed: Any) -> dict[str, Any]:
    """One clip of CelebV-HQ."""
    return {
        "ytb_id": "M2Ohb0FAaJU",
        "duration": {"start_sec": 81.62, "end_sec": 86.17},
        "bbox": {"top": 0.0, "bottom": 0.8815, "left": 0.1964, "right": 0.6922},
        "attributes": {
            "appearance": [0, 1],
            "action": [1, 0],
            "emotion": {"sep_flag": False, "labels": "neutral"},
        },
        "version": "v0.1",
    } | changed


def write_celebv_hq(path: Path, clips: dict[str, Any]) -> Path:
    meta = {"appearance_mapping": ["blurry", "male"], "action_mapping": ["talk", "chew"]}
    path.write_text(json.dumps({"meta_info": meta, "clips": clips}))
    return path


def test_hdtf_clips_have_their_times_boxes_and_names(tmp_path: Path) -> None:
    listed = read_list(write_hdtf(tmp_path))
    assert [(clip.name, clip.start, clip.end) for clip in listed.clips] == [
        ("Radio11_0", 30, 60),
        ("Radio11_1", 90, 150),
        ("Mary-Jane2_0", 3605, 3607),
    ]
    assert listed.clips[0].box == HeightBox(412, 0, 599, 599, 720)
    assert listed.clips[0].video_names == ("Radio11", "RD_Radio11", "XtySvTwIOfw")
    assert listed.clips[2].video_names == ("Mary-Jane2", "WRA_Mary-Jane2", "dyGp3W5yMwE")
    assert listed.damaged == ()


def test_hdtf_people_with_several_videos_are_one_identity(tmp_path: Path) -> None:
    assert [clip.identity for clip in read_list(write_hdtf(tmp_path)).clips] == ["Radio11", "Radio11", "Mary-Jane"]


def test_hdtf_may_be_given_as_its_repository(tmp_path: Path) -> None:
    write_hdtf(tmp_path / "HDTF_dataset")
    assert len(read_list(tmp_path).clips) == 3


def test_hdtf_boxes_scale_with_the_copy() -> None:
    assert HeightBox(412, 0, 599, 599, 720).pixels(1280, 720) == PixelBox(412, 0, 599, 599)
    assert HeightBox(400, 20, 600, 600, 720).pixels(1920, 1080) == PixelBox(600, 30, 900, 900)


@pytest.mark.parametrize(
    ("name", "text", "place", "reason"),
    [
        ("RD_annotion_time", "\nRadio11.mp4 00:30\n", "RD_annotion_time.txt:2", "Radio11_0: time '00:30' is not"),
        ("RD_annotion_time", "Radio11.mp4 00:60-a:b", "RD_annotion_time.txt:1", "time '00:60-a:b' is not"),
        ("RD_annotion_time", "Radio11.mp4 0:1.1.1-0:9", "RD_annotion_time.txt:1", "time '0:1.1.1' is not"),
        ("RD_annotion_time", "Radio11.mp4 01:00-00:30", "RD_annotion_time.txt:1", "60 to 30 s is no stretch"),
        ("RD_annotion_time", "Radio11.mp4", "RD_annotion_time.txt:1", "Radio11: no times"),
        ("RD_annotion_time", "a/b.mp4 00:01-00:30", "RD_annotion_time.txt:1", "holds other characters"),
        ("WRA_annotion_time", "Radio11.mp4 00:01-00:02", "WRA_annotion_time.txt:1", "Radio11_0 is listed already"),
        ("RD_resolution", "", "RD_annotion_time.txt:1", "no height in RD_resolution.txt"),
        ("RD_resolution", "Radio11.mp4 HD", "RD_annotion_time.txt:1", "'HD' is not the video's height"),
        ("RD_crop_wh", "", "RD_annotion_time.txt:1", "Radio11_0: no box in RD_crop_wh.txt: its authors left it out"),
        ("RD_crop_wh", "Radio11_0.mp4 1 2 3", "RD_annotion_time.txt:1", "'1 2 3' is not left, width, top, height"),
        ("RD_crop_wh", "Radio11_0.mp4 1 0 3 0", "RD_annotion_time.txt:1", "height or width 0 in RD_crop_wh.txt:1"),
    ],
)  # fmt: skip
def test_a_damaged_hdtf_entry_is_named(tmp_path: Path, name: str, text: str, place: str, reason: str) -> None:
    damaged = read_list(write_hdtf(tmp_path, **{name: text})).damaged
    assert damaged[0].place == place
    assert reason in damaged[0].reason


def test_hdtf_without_its_boxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"RD_crop_wh.txt: missing; RD_annotion_time.txt needs it"):
        read_list(write_hdtf(tmp_path, RD_crop_wh=None))


def test_celebv_hq_clips_have_their_times_boxes_and_attributes(tmp_path: Path) -> None:
    (clip,) = read_list(write_celebv_hq(tmp_path / "celebvhq_info.json", {"M2Ohb0FAaJU_1": clip_entry()})).clips
    assert (clip.name, clip.identity, clip.video_names) == ("M2Ohb0FAaJU_1", "M2Ohb0FAaJU", ("M2Ohb0FAaJU",))
    assert (clip.start, clip.end) == (81.62, 86.17)
    assert clip.box == ShareBox(0.1964, 0.0, 0.6922, 0.8815)
    assert clip.attributes == ("male", "talk", "neutral")


def test_celebv_hq_names_each_of_several_emotions(tmp_path: Path) -> None:
    labels = [
        {"emotion": "neutral", "start_sec": 0, "end_sec": 0.28},
        {"emotion": "happy", "start_sec": 1, "end_sec": 3},
    ]
    entry = clip_entry(attributes={"emotion": {"sep_flag": True, "labels": labels}})
    (clip,) = read_list(write_celebv_hq(tmp_path / "a.json", {"a_0": entry})).clips
    assert clip.attributes == ("neutral", "happy")


def test_celebv_hq_may_be_given_as_its_repository(tmp_path: Path) -> None:
    write_celebv_hq(tmp_path / "celebvhq_info.json", {"a_0": clip_entry(attributes=None)})
    assert len(read_list(tmp_path).clips) == 1


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        # 0.18 to 0.72 of 1920 is 346 to 1382; 0 to 0.92 of 1080 is 0 to 994: a square of 994 around column 864.
        (ShareBox(0.2, 0.0, 0.7, 0.9), (1920, 1080), PixelBox(367, 0, 994, 994)),
        (ShareBox(0.0, 0.0, 1.0, 1.0), (100, 50), PixelBox(25, 0, 50, 50)),
    ],
)
def test_celebv_hq_boxes_are_widened_and_made_square(box: ShareBox, size: tuple[int, int], expected: PixelBox) -> None:
    assert box.pixels(*size) == expected


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ytb_id": 7}, "ytb_id is 7, not the name of a video"),
        ({"duration": {"start_sec": 3}}, "end_sec is missing"),
        ({"duration": {"start_sec": 3, "end_sec": "4"}}, "end_sec is '4', not a number"),
        ({"duration": {"start_sec": 3, "end_sec": 2}}, "3 to 2 s is no stretch"),
        ({"duration": {"start_sec": 3, "end_sec": float("nan")}}, "is no stretch"),
        ({"bbox": None}, "left is missing"),
        ({"bbox": {"top": 0.0, "bottom": 1.5, "left": 0, "right": 1}}, "is not a part of the picture in shares"),
    ],
)
def test_a_damaged_celebv_hq_entry_is_named(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    listed = read_list(write_celebv_hq(tmp_path / "a.json", {"good_0": clip_entry(), "bad_0": clip_entry(**changed)}))
    assert [clip.name for clip in listed.clips] == ["good_0"]
    assert listed.damaged[0].place == "a.json: clips.bad_0"
    assert reason in listed.damaged[0].reason


def test_a_celebv_hq_name_that_cannot_be_a_file_is_damaged(tmp_path: Path) -> None:
    listed = read_list(write_celebv_hq(tmp_path / "a.json", {"../x": clip_entry()}))
    assert "holds other characters" in listed.damaged[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not readable as JSON"), ("[]", "no mapping `clips`"), ('{"clips": []}', "no mapping `clips`")],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ListError, match=message):
        read_list(tmp_path / "a.json")


def test_a_folder_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="no list known here; give HDTF's folder HDTF_dataset"):
        read_list(tmp_path)
