import pytest

from fada.files.shareable import shareable, shareable_command, shareable_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/alice/shards/train", "train"),
        ("~/models/vae/", "vae"),
        ("../../alice/x", "x"),
        ("s3://key:secret@bucket/set/train", "train"),
        ("file:///home/alice/a.yaml", "a.yaml"),
        ("C:\\Users\\alice\\x.mp4", "x.mp4"),
        ("https://user:password@host/x/name", "name"),
        ("https://arxiv.org/abs/2405.07510", "https://arxiv.org/abs/2405.07510"),
        ("data/shards/train", "data/shards/train"),
        ("uniform", "uniform"),
        ("25 frames/s, 3/4, 2026/11/25, and/or", "25 frames/s, 3/4, 2026/11/25, and/or"),
        (3, 3),
        (None, None),
        (True, True),
    ],
)
def test_places_are_their_last_part(value: object, shown: object) -> None:
    assert shareable(value) == shown
    assert shareable({"a": [{"b": value}]}) == {"a": [{"b": shown}]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see /home/alice/run/report.md for more", "see report.md for more"),
        ("`/data/x/y.png` and (/data/x/z.png)", "`y.png` and (z.png)"),
        ("error: '/home/alice/a b'", "error: 'a b'"),
        ("at s3://bucket/set/index.json.", "at index.json."),
        ("6 evaluations/clip at 25 frames/s", "6 evaluations/clip at 25 frames/s"),
        ("<b>bold</b> https://a.org/b/c", "<b>bold</b> https://a.org/b/c"),
    ],
)
def test_paths_in_a_text_are_their_last_part(text: str, shown: str) -> None:
    assert shareable_text(text) == shown


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["/usr/bin/fada", "distill", "/home/alice/fast.yaml", "output=/home/alice/run"], "fada distill fast.yaml"),
        (
            ["/x/__main__.py", "teacher", "train", "recipes/tiny/demo.yaml", "--token", "s3cret"],
            "fada teacher train demo.yaml",
        ),
        (["fada", "bench", "--weights", "/home/alice"], "fada bench"),
        (["fada", "distill", "tiny/smoke"], "fada distill"),
        ([], "fada"),
    ],
)
def test_a_command_is_its_verbs_and_its_recipe(arguments: list[str], shown: str) -> None:
    assert shareable_command(arguments) == shown
