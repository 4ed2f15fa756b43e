"""A tree made to do harm, and a server that lies: nothing outside is touched, no wrong byte gets a name."""

import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from otb_client.api import Api
from otb_client.errors import BadAnswer
from otb_client.place import Obstructed, Place, temporary_name
from otb_client.tree import Tree

from tests.tools.restore.impostor import Impostor, listening
from tests.tools.upload.computer import SECONDS_MAX, Done


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with listening(Impostor()) as started:
        yield started


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the one that is restored to. Nothing may come or change in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_bytes(b"precious")
    return folder


def restore(impostor: Impostor, tmp_path: Path, *arguments: str, command: str = "restore") -> Done:
    settings = tmp_path / "settings"
    settings.mkdir(exist_ok=True)
    (settings / "config.json").write_text(json.dumps({"server": impostor.url, "device": "1", "token": "x"}))
    given = arguments if command != "restore" else ("--to", str(tmp_path / "out"), *arguments)
    done = subprocess.run(
        [sys.executable, "-m", "otb_client", command, "--json", "--retry-minutes", "0.005", *given],
        env=os.environ | {"OTB_CLOUD_CONFIG": str(settings)},
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def is_untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["precious"] and (
        outside / "precious"
    ).read_bytes() == b"precious"


PATHS = ["../outside/evil", "a/../../outside/evil", "/outside/evil", "a//b", ".", "..", "", "a/.", "a\0b"]


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_names_that_lead_out(impostor: Impostor, tmp_path: Path, outside: Path, kind: str) -> None:
    for path in PATHS:
        if kind == "file":
            impostor.add_file(b"evil", path=path)
        else:
            impostor.add(kind, path=path, **({"target": str(outside)} if kind == "link" else {}))
    impostor.add_file(b"good", path="good")
    done = restore(impostor, tmp_path)
    assert done.code == 1, done
    assert len(done.named("problem")) == len(PATHS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    assert is_untouched(outside)


def test_a_link_and_then_a_file_through_it(impostor: Impostor, tmp_path: Path, outside: Path) -> None:
    impostor.add("link", path="way", target=str(outside))
    impostor.add_file(b"evil", path="way/evil")
    impostor.add_file(b"evil", path="way/precious")
    impostor.add("directory", path="way", mode=0o700)
    impostor.add("directory", path="way/folder", mode=0o777)
    impostor.add("link", path="way/link", target="x")
    impostor.add("link", path="up", target="..")
    impostor.add_file(random.Random(1).randbytes(2 << 20), path="up/outside/large")
    for arguments in ((), ("--overwrite",), ("--rename",)):
        done = restore(impostor, tmp_path, *arguments)
        assert done.code == 1, done
        assert is_untouched(outside)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outside", "settings"]
        assert (tmp_path / "out" / "way").readlink() == outside


def test_a_link_that_is_here_already(impostor: Impostor, tmp_path: Path, outside: Path) -> None:
    """Where a folder of the tree should be, and where a file should be."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "folder").symlink_to(outside)
    (out / "file").symlink_to(outside / "precious")
    impostor.add("directory", path="folder")
    impostor.add_file(b"evil", path="folder/evil")
    impostor.add_file(b"content", path="file")
    done = restore(impostor, tmp_path, "--overwrite")
    assert {event["path"] for event in done.named("problem")} == {"folder", "folder/evil"}
    assert (out / "file").read_bytes() == b"content"
    assert not (out / "file").is_symlink()
    assert is_untouched(outside)


def test_a_temporary_that_is_a_link(impostor: Impostor, tmp_path: Path, outside: Path) -> None:
    small, large = b"small", random.Random(2).randbytes(2 << 20)
    out = tmp_path / "out"
    out.mkdir()
    for name, content in (("small", small), ("large", large)):
        (out / temporary_name(name, blake3(content).digest())).symlink_to(outside / "precious")
        impostor.add_file(content, path=name)
    done = restore(impostor, tmp_path)
    assert done.code == 0, done
    assert (out / "small").read_bytes() == small
    assert (out / "large").read_bytes() == large
    assert is_untouched(outside)


@pytest.mark.parametrize("size", [10, 2 << 20])
def test_wrong_bytes_never_get_a_name(impostor: Impostor, tmp_path: Path, size: int) -> None:
    content = random.Random(3).randbytes(size)
    wrong = bytearray(content)
    wrong[size // 2] ^= 1
    impostor.add_file(content, sent=bytes(wrong), path="wrong")
    done = restore(impostor, tmp_path)
    assert done.code in {1, 4}, done
    assert not (tmp_path / "out" / "wrong").exists()


def test_a_small_file_that_comes_too_large_or_is_not_the_one(impostor: Impostor, tmp_path: Path) -> None:
    impostor.add_file(b"a", sent=bytes(3 << 20), path="a")
    done = restore(impostor, tmp_path)
    assert (done.code, "larger than any" in done.err) == (4, True), done


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"[]",
        b"not json",
        b'{"entries":[7],"next":null}',
        b'{"entries":[],"next":7}',
        b'{"entries":[{"id":"1","path":"a","type":"file","mtime":"2024-01-02T03:04:05Z","mode":1}],"next":null}',
        b'{"entries":[{"id":"1","type":"directory","mtime":"2024-01-02T03:04:05Z","mode":1}],"next":null}',
        b'{"entries":[{"id":"1","path_bytes":"!","type":"directory","mtime":"x","mode":1}],"next":null}',
        b'{"entries":[{"id":"1","path":"a","type":"directory","mtime":"soon","mode":1}],"next":null}',
        b'{"entries":[{"id":"1","path":"a","type":"directory","mtime":"2024-01-02T03:04:05Z","mode":"x"}],"next":null}',
    ],
)
def test_answers_that_are_none(impostor: Impostor, answer: bytes) -> None:
    impostor.raw_tree = answer
    with closing(Api(impostor.url, "x", retry_seconds=0)) as api, pytest.raises(BadAnswer):
        read_all(api)


def read_all(api: Api) -> None:
    with closing(Tree.fetch(api, "1", b"", "originals", None)) as tree:
        for _ in tree.pages():
            pass


def test_an_answer_that_is_none_is_told_in_words(impostor: Impostor, tmp_path: Path) -> None:
    impostor.raw_tree = b'{"entries":[7],"next":null}'
    done = restore(impostor, tmp_path)
    assert (done.code, done.err.startswith("otb-cloud: The server's tree")) == (4, True), done
    assert "Traceback" not in done.err


ODD: list[dict[str, Any]] = [
    {"mtime": "1678-01-01T00:00:00Z"},
    {"mtime": "2261-12-31T00:00:00.999999999Z"},
    {"mode": 0o100644},
    {"mode": 0},
    {"path": "x" * 300},
    {"path": "/".join(["d" * 200] * 30)},
    {"path": None, "path_bytes": base64.urlsafe_b64encode(b"\xff\n\x1b[31m").decode()},
]


def test_odd_values_hurt_nothing_else(impostor: Impostor, tmp_path: Path) -> None:
    for number, entry in enumerate(ODD):
        impostor.add_file(b"odd %d" % number, **{"path": f"odd {number}", **entry})
    impostor.add_file(b"good", path="zz")
    done = restore(impostor, tmp_path)
    assert done.code == 1, done
    assert len(done.named("problem")) in {2, 3, 4}  # the long ones; times, where the file system has no such year
    assert (tmp_path / "out" / "zz").read_bytes() == b"good"
    assert (tmp_path / "out" / "odd 2").stat().st_mode & 0o7777 == 0o644
    assert "\x1b" not in done.out + done.err


def test_check_believes_no_half_answer(impostor: Impostor, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    for statuses in ([], [{"digest": "00" * 32, "safe": True}], [{"safe": True}]):
        impostor.statuses = statuses
        done = restore(impostor, tmp_path, str(tmp_path / "a"), command="check")
        assert done.code != 0, done
        assert "Traceback" not in done.err


@pytest.mark.parametrize("with_fds", [True, False])
def test_no_operation_follows_a_link(tmp_path: Path, outside: Path, with_fds: bool) -> None:
    """Also where the system knows no open folders, as Windows."""
    top = tmp_path / "top"
    top.mkdir()
    (top / "way").symlink_to(outside)
    (top / "file").write_bytes(b"f")
    place = Place(str(top), with_fds=with_fds)
    for parts in (("way",), ("file",)):
        for work in (
            lambda p: place.look(p, "precious"),
            lambda p: place.make_folder(p, "x"),
            lambda p: place.create(p, "x"),
            lambda p: place.reopen(p, "precious"),
            lambda p: place.drop(p, "precious"),
            lambda p: place.make_link(p, "x", "y", 1),
            lambda p: place.set_folder_facts(p, 0o777, 1, special=False),
        ):
            with pytest.raises((Obstructed, NotADirectoryError)):
                work(parts)
    with pytest.raises(Obstructed):
        place.make_folder((), "way")
    assert is_untouched(outside)
    os.close(place.create((), "t"))
    place.put((), "t", "new", replace=False)
    os.close(place.create((), "t"))
    with pytest.raises(FileExistsError):
        place.put((), "t", "new", replace=False)
    place.make_folder((), "d")
    os.close(place.create(("d",), "t"))
    place.sync([(("d",), "t")])
    place.put(("d",), "t", "inner", replace=True)
    assert (top / "d" / "inner").exists()
    place.close()
