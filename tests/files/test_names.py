import pytest

from fada.files.errors import NameFault
from fada.files.names import check_name


@pytest.mark.parametrize("name", ["fast", "A", "stage-2_b", "0", "x" * 64])
def test_plain_words_are_names(name: str) -> None:
    assert check_name(name, "distill.phases.0.name") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/a", "a b", "a.b", "~", "x" * 65, "ä", "a\n", "a\0", "-\u202e", None, 3, ["a"]],
)
def test_anything_else_is_refused_by_its_place(name: object) -> None:
    with pytest.raises(
        NameFault, match=r"^distill.phases.0.name: .* cannot name a file or folder; give 1 to 64 letters"
    ):
        check_name(name, "distill.phases.0.name")


def test_a_long_name_is_shown_short() -> None:
    with pytest.raises(NameFault) as caught:
        check_name("y" * 10_000, "name")
    assert len(str(caught.value)) < 250
