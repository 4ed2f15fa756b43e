"""Files made to harm: bombs, endless ones, truncated and mutated ones. Each ends in a stated failure or a picture,
within its limits, and the worker lives on."""

import asyncio
import io
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.shared.workers import WorkerProcess, rendition
from tests.tools.worker.corpus import Sample, corpus, document, picture, saved, turned
from tests.web.device import Device, stored
from tools.worker.errors import OutputRefused
from tools.worker.making.order import Limits
from tools.worker.making.server import RESULT_FILE
from tools.worker.making.sniff import HEAD_BYTES, OTHER, sniff
from tools.worker.outcome import Failure, facts_of, judged
from tools.worker.sandbox import Sandbox

MEMORY_BYTES = 1 << 30
SECONDS = 20
MADE = "a picture"


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of some kilobytes that promises so many pixels."""
    row = zlib.compress(b"\0" * (width + 1) * min(height, 200), 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def zip_bomb(member: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "")
        with archive.open(member, "w") as file:
            for _ in range(300):
                file.write(b" " * (1 << 20))
    return data.getvalue()


def laughing_word() -> bytes:
    """A DOCX whose XML swells: entities of entities."""
    bomb = '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha">'
    bomb += "".join(f'<!ENTITY a{n} "{f"&a{n - 1 or str()};" * 10}">' for n in range(1, 10)) + "]><z>&a9;</z>"
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(document("docx"))) as good, zipfile.ZipFile(data, "w") as archive:
        for name in good.namelist():
            archive.writestr(name, bomb if name == "word/document.xml" else good.read(name))
    return data.getvalue()


def endless_gif() -> bytes:
    frames = [Image.new("P", (2, 2), n % 2) for n in range(2_000)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0)


def deep_pdf() -> bytes:
    """Arrays within arrays, and a page tree that is its own child."""
    kids = b"[" * 50_000 + b"]" * 50_000
    return (
        b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/X "
        + kids
        + b">>endobj\n"
        + (b"2 0 obj<</Type/Pages/Count 9/Kids[2 0 R 2 0 R]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF")
    )


BOMBS: dict[str, Callable[[], bytes]] = {
    "a picture of 400 million pixels": lambda: png_bomb(20_000, 20_000),
    "a picture of 190 million pixels without its data": lambda: png_bomb(19_000, 10_000),
    "a picture wider than high can be": lambda: png_bomb(2**31 - 1, 1),
    "an endless GIF": endless_gif,
    "a sheet that unpacks to 300 MB": lambda: zip_bomb("xl/workbook.xml"),
    "a document that unpacks to 300 MB": lambda: zip_bomb("word/document.xml"),
    "XML that swells": laughing_word,
    "a PDF that is its own child": deep_pdf,
    "half a photo": lambda: turned(1)[:3_000],
    "a photo of nothing": lambda: b"\xff\xd8\xff\xe0" + b"\0" * 5_000,
    "a film that promises much": lambda: b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\xff\xff\xff\xffmoov" * 500,
    "a playlist called a film": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "a concatenation script": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a pointer to another file": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/>',
}


@pytest.fixture(scope="module")
def thrown(laptop: Device) -> dict[str, str]:
    """All bombs at once: name → entry."""
    return {name: stored(laptop, name, bomb()) for name, bomb in BOMBS.items()}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_harms_nobody(name: str, worker: WorkerProcess, thrown: dict[str, str], owner: httpx2.Client) -> None:
    answer = rendition(owner, thrown[name])
    assert answer.status_code in {200, 404}
    if answer.status_code == 404:
        assert answer.json()["detail"].endswith(".")
    assert "root:" not in rendition(owner, thrown[name], "preview").text
    assert worker.child is not None
    assert worker.child.is_running, worker.log()


def test_after_the_bombs_the_next_one_is_served(
    worker: WorkerProcess, thrown: dict[str, str], owner: httpx2.Client, laptop: Device
) -> None:
    started = worker.pid
    for entry in thrown.values():
        rendition(owner, entry, "preview")
    assert rendition(owner, stored(laptop, "after.jpg", saved(picture(), "JPEG", quality=60))).status_code == 200
    assert (worker.pid, worker.has_ended) == (started, False), worker.log()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return [sample for sample in corpus(tmp_path_factory.mktemp("seeds")) if sample.kind != OTHER]


def mutations(seeds: list[Sample], count: int) -> Iterator[tuple[str, bytes]]:
    """Bytes flipped, parts cut out, doubled or overwritten, ends cut off; the first bytes, which say the kind, mostly
    stay."""
    chance = random.Random(7)
    for number in range(count):
        sample = seeds[number % len(seeds)]
        data = bytearray(sample.content)
        for _ in range(chance.choice((1, 3, 20))):
            at = chance.randrange(12 if len(data) > 12 else 0, len(data))
            length = min(chance.choice((1, 1, 4, 64, 1_000)), len(data) - at)
            match chance.randrange(5):
                case 0:
                    data[at : at + length] = chance.randbytes(length)
                case 1:
                    data[at : at + length] = bytes([chance.choice((0, 0x7F, 0x80, 0xFF))]) * length
                case 2 if len(data) > length + 64:
                    del data[at : at + length]
                case 3:
                    data[at:at] = data[at : at + length]
                case 4 if len(data) > 200:
                    del data[max(100, at) :]
        yield f"{sample.name} #{number}", bytes(data)


def test_mutated_files_end_in_a_picture_or_a_stated_failure(
    seeds: list[Sample], scale: Callable[[int, int], int], tmp_path: Path
) -> None:
    """Straight into the sandbox: no database is needed to know how a decoder ends."""
    count = scale(30, 2_000)
    endings = asyncio.run(decode_all(mutations(seeds, count), tmp_path))
    print(*(f"{times:>6,}  {ending}" for ending, times in endings.most_common()), sep="\n")
    assert endings.total() == count
    assert endings[MADE] > 0
    assert len(endings) > 1, "no file ended in a failure: the mutations harm nothing"


async def decode_all(files: Iterator[tuple[str, bytes]], folder: Path) -> Counter[str]:
    """How each file ended: `MADE`, or the sentence of its failure without what is particular to the file."""
    endings: Counter[str] = Counter()
    sandbox = Sandbox(folder / "slot", "bwrap")
    limits = Limits(SECONDS, SECONDS, MEMORY_BYTES, 64 << 20, 5)
    try:
        await sandbox.start()
        process = sandbox.process_id
        for name, data in files:
            kind, media_type = sniff(data[:HEAD_BYTES])
            if kind == OTHER:
                endings["not of a kind that is read"] += 1
                continue
            sandbox.clear()
            sandbox.source.write_bytes(data)
            order = {"recipe": "thumbnail", "parameters": {}, "kind": kind, "media_type": media_type}
            ended = await sandbox.run(order, limits, lambda _percent: None)
            made = sandbox.result()
            outcome = judged(ended, made, SECONDS)
            if isinstance(outcome, Failure):
                assert outcome.sentence.endswith("."), (name, outcome)
                endings[outcome.sentence.partition(" (")[0]] += 1
            else:
                assert len(outcome) == 1, name
                endings[MADE] += 1
                facts_of(made.facts if made else None)
            assert ended.memory_bytes <= MEMORY_BYTES, (name, ended)
            assert ended.seconds <= SECONDS + 5, (name, ended)
        assert sandbox.process_id == process, "the sandbox itself was lost"
        return endings
    finally:
        await sandbox.close()


class TestTheWalls:
    """What a decoder that was taken over could do, tried by makers of our own in its place."""

    @pytest.fixture
    def inside(self, tmp_path: Path) -> Callable[[str], str]:
        """`inside("code")`: run Python inside the walls of a sandbox; what it printed."""

        def run(code: str) -> str:
            sandbox = Sandbox(tmp_path / "slot", "bwrap")
            sandbox.clear()
            walls = sandbox.walls()
            command = ["bwrap", *walls, "--", "/usr/bin/python3", "-c", code]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            return done.stdout + done.stderr

        return run

    def test_there_is_no_network(self, inside: Callable[[str], str]) -> None:
        code = "import socket; socket.create_connection(('127.0.0.1', 22), 2)"
        assert "Error" in inside(code)
        assert inside("import socket; print([n for _, n in socket.if_nameindex()])") == "['lo']\n"

    def test_nothing_of_ours_is_to_be_seen(self, inside: Callable[[str], str]) -> None:
        assert inside("import os; print(sorted(os.listdir('/otb-file')), os.path.exists('/root'))") == "[] False\n"
        assert inside("import os; print(os.path.exists('/etc/passwd'), os.path.exists('/var'))") == "False False\n"
        names = inside("import os; print(sorted(os.environ))")
        assert "OTB_CLOUD_SETTINGS" not in names
        assert "SECRET" not in names

    def test_an_interpreter_below_tmp_is_seen(
        self, inside: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "python").touch()
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        assert tmp_path.is_relative_to("/tmp")
        assert inside(f"import os; print(os.path.exists('{tmp_path / 'python'}'))") == "True\n"

    def test_no_other_process_is_to_be_seen(self, inside: Callable[[str], str]) -> None:
        assert inside("import os; print(len([n for n in os.listdir('/proc') if n.isdigit()]))") == "2\n"

    def test_the_code_cannot_be_changed(self, inside: Callable[[str], str]) -> None:
        assert "Read-only" in inside("open('/otb-code/tools/worker/x', 'w')")


def test_what_comes_out_is_taken_as_plain_files_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    sandbox = Sandbox(tmp_path / "slot", "bwrap")
    sandbox.clear()
    out = sandbox.folder / "out"
    out.mkdir()
    (out / "0").symlink_to(secret)
    for name in ("0", "../../secret", "1", "result.json"):
        with pytest.raises(OutputRefused):
            sandbox.open_piece(name)
    (out / RESULT_FILE).symlink_to(secret)
    with pytest.raises(OutputRefused):
        sandbox.result()
    sandbox.clear()
    (sandbox.folder / "out").symlink_to(tmp_path)
    (tmp_path / "7").write_text("secret")
    with pytest.raises(OutputRefused):
        sandbox.open_piece("7")
    assert secret.exists()
