"""Folders here and in a store behave alike; what cannot be reached is said. A real S3 server: test_object_store.py."""

from pathlib import Path

import pytest

from fada.data.shards.location import Location, LocationError


@pytest.fixture(params=["here", "store"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location(tmp_path / "here" if request.param == "here" else f"memory://{tmp_path.name}/folder")


def put(location: Location, name: str, data: bytes) -> None:
    with location.scratch() as scratch:
        (scratch / "made").write_bytes(data)
        location.put(scratch / "made", name)


def test_a_file_that_was_put_is_read_fetched_listed_and_removed(location: Location) -> None:
    put(location, "a.txt", b"one")
    put(location, "a.txt", b"two")
    put(location / "below", "b.txt", b"three")
    assert location.read("a.txt") == b"two"
    with location.fetched("a.txt") as file:
        assert (file.name, file.read_bytes()) == ("a.txt", b"two")
    assert (location.files(), location.folders()) == (["a.txt"], ["below"])
    location.remove("a.txt")
    location.remove("a.txt")
    assert location.files() == []


def test_a_missing_file_is_a_missing_file_everywhere(location: Location) -> None:
    with pytest.raises(FileNotFoundError):
        location.read("none")
    with pytest.raises(FileNotFoundError), location.fetched("none"):
        pass
    assert (location / "none").files() == []


def test_what_is_put_has_the_ordinary_rights(tmp_path: Path) -> None:
    put(Location(tmp_path), "a.txt", b"one")
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("memory://b/x/", "memory://b/x"),
        (Path("memory://b/x"), "memory://b/x"),
        ("file:///data/x", "/data/x"),
        ("data/x/", "data/x"),
    ],
)
def test_a_place_has_one_name(place: str | Path, name: str) -> None:
    assert str(Location(place)) == name


def test_a_store_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "far", {"class": "no_such_far.Store", "err": "Install far"})
    with pytest.raises(LocationError, match=r"far://b/x: Install far; .*pip install 'fada\[cluster\]'"):
        Location("far://b/x")


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(LocationError, match=r"s4://b/x: Protocol not known: s4; give a path, or a URL such as s3://"):
        Location("s4://b/x")


def test_a_store_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("denied")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
    wanted = r"memory://b/x/a: cannot be {} \(PermissionError: denied\); check the address, the credentials"
    with pytest.raises(LocationError, match=wanted.format("read")):
        Location("memory://b/x").read("a")
    with pytest.raises(LocationError, match=wanted.format("written")):
        put(Location("memory://b/x"), "a", b"")
