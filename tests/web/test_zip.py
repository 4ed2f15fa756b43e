"""The zips of an export: any names, any sizes, any number of members, always exactly as long as planned, and the same
bytes from wherever one begins."""

import io
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stream_zip import NO_COMPRESSION_32, stream_zip

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing
from catalog.values import Chosen, EntryKind, Member, PlannedPart
from tests.shared.stores import new_store
from web.errors import ContentDamaged
from web.ranges import ByteRange
from web.threads import Workers
from web.zip_export import ZipPart
from web.zip_format import LIMIT_16, LIMIT_32, zip_time
from web.zip_layout import ZipLayout, ending, list_line
from web.zip_names import KeySet, ZipNames, safe_name
from web.zip_reading import MemberReads

WORKERS = Workers(1, "zip")
TORONTO = ZoneInfo("America/Toronto")
MTIME_NS = 1_714_745_100_000_000_000


def blob_of(data: bytes, size_bytes: int | None = None) -> Blob:
    return Blob(
        Digest(blake3(data).digest()),
        len(data) if size_bytes is None else size_bytes,
        len(data),
        zlib.crc32(data),
        Encoding.IDENTITY,
        OWN_FILE,
    )


class Planned:
    """Members with their places, in pages, as the catalog keeps them."""

    def __init__(self, members: Sequence[Member], page: int) -> None:
        self._members = members
        self._page = page

    async def members(self, section: str, at: int) -> AsyncGenerator[Sequence[Member], None]:
        first = max((n for n, m in enumerate(self._members) if getattr(m, section) <= at), default=0)
        for start in range(first, len(self._members), self._page):
            yield self._members[start : start + self._page]


class Tree:
    """Members and their bytes, as the catalog and the store would give them."""

    def __init__(self) -> None:
        self.members: list[Chosen] = []
        self.contents: dict[Digest, bytes] = {}

    def add(self, path: bytes, data: bytes | None, mtime_ns: int = MTIME_NS, mode: int | None = None) -> None:
        blob = None if data is None else blob_of(data)
        if blob is not None and data is not None:
            self.contents[blob.digest] = data
        kind = EntryKind.DIRECTORY if data is None else EntryKind.FILE
        self.members.append(Chosen(len(self.members), path, kind, blob, mtime_ns, mode))

    def read(self, blob: Blob, part: ByteRange | None) -> Iterator[bytes]:
        data = self.contents[blob.digest]
        yield data if part is None else data[part.offset : part.offset + part.length]

    def parts(self, zone: tzinfo = UTC, part_bytes_max: int | None = None, page: int = 7) -> list[ZipPart]:
        """The planned zips."""
        layout = ZipLayout(zone, part_bytes_max)
        placed = layout.add_all(self.members)
        return [
            ZipPart(part, Planned([m for m in placed if m.part == part.number], page), zone, self.read, WORKERS)
            for part in layout.finish()
        ]


async def bytes_of(part: ZipPart, wanted: ByteRange | None = None) -> bytes:
    async with aclosing(part.pieces(wanted or ByteRange(0, part.part.size_bytes))) as pieces:
        return b"".join([piece async for piece in pieces])


async def zipped(tree: Tree, zone: tzinfo = UTC) -> bytes:
    """The zip's bytes, having checked that they are as long as planned."""
    (part,) = tree.parts(zone, page=7 if len(tree.members) < 1000 else 1000)
    data = await bytes_of(part)
    assert len(data) == part.part.size_bytes
    return data


def names_in(tree: Tree) -> list[str | None]:
    namer = ZipNames()
    return [namer.name(m.path, is_directory=m.kind is EntryKind.DIRECTORY) for m in tree.members]


@pytest.mark.anyio
async def test_content_times_and_folders_survive() -> None:
    tree = Tree()
    tree.add("Été".encode(), None)
    tree.add("Été/plage ☀.jpg".encode(), b"sand" * 1000, mode=0o100640)
    tree.add("Été/empty".encode(), None)
    tree.add(b"nothing.txt", b"")
    with zipfile.ZipFile(io.BytesIO(await zipped(tree, TORONTO))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["Été/", "Été/plage ☀.jpg", "Été/empty/", "nothing.txt", "B3SUMS"]
        photo = archive.getinfo("Été/plage ☀.jpg")
        assert archive.read(photo) == b"sand" * 1000
        # 2024-05-03 14:05 UTC, on Toronto's clock.
        assert photo.date_time == (2024, 5, 3, 10, 5, 0)
        assert int.from_bytes(photo.extra[5:9], "little") * 1_000_000_000 == MTIME_NS
        assert photo.external_attr >> 16 == 0o100640
        assert photo.compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("Été/empty/").is_dir()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("mtime_ns", "date_time"),
    [
        (-(10**18), (1980, 1, 1, 0, 0, 0)),
        (0, (1980, 1, 1, 0, 0, 0)),
        (2_200_000_000 * 10**9, (2039, 9, 18, 23, 6, 40)),
        (4_354_819_199 * 10**9, (2107, 12, 31, 23, 59, 58)),
        (9_000_000_000 * 10**9, (2107, 12, 31, 23, 59, 58)),
        (2**63 - 1, (2107, 12, 31, 23, 59, 58)),
    ],
)
async def test_times_that_a_zip_cannot_hold_are_clamped(
    mtime_ns: int, date_time: tuple[int, int, int, int, int, int]
) -> None:
    tree = Tree()
    tree.add(b"ordinary", b"1")
    tree.add(b"odd", b"2", mtime_ns)
    tree.add(b"ordinary too", b"3")
    with zipfile.ZipFile(io.BytesIO(await zipped(tree))) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("odd").date_time == date_time
        assert archive.getinfo("ordinary too").date_time == (2024, 5, 3, 14, 5, 0)


@pytest.mark.anyio
async def test_empty_export_is_a_valid_zip() -> None:
    data = await zipped(Tree())
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == []


@pytest.mark.anyio
async def test_more_members_than_zip32_counts(tmp_path: Path) -> None:
    tree = Tree()
    for number in range(LIMIT_16 + 10):
        tree.add(b"%06d" % number, b"x")
    archive = tmp_path / "many.zip"
    archive.write_bytes(await zipped(tree))
    with zipfile.ZipFile(archive) as read:
        assert len(read.namelist()) == LIMIT_16 + 11
        assert read.read("065544") == b"x"
    assert run("7z", "t", str(archive)) == 0
    assert run("unzip", "-tqq", str(archive)) == 0


def run(*command: str) -> int:
    assert shutil.which(command[0]), f"apt-get install the package of {command[0]}"
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


class Zeros(Tree):
    """A tree of large files that take no disk: their bytes are zeros made on the way."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        for number, size in enumerate(sizes):
            blob = Blob(Digest.of(b"zeros"), size, size, self._crc(size), Encoding.IDENTITY, OWN_FILE)
            self.members.append(Chosen(number, b"%d.bin" % number, EntryKind.FILE, blob, MTIME_NS, None))

    def _crc(self, size: int) -> int:
        crc = 0
        for piece in self._pieces(size):
            crc = zlib.crc32(piece, crc)
        return crc

    def _pieces(self, size: int) -> Iterator[bytes]:
        block = bytes(1 << 20)
        for _ in range(size >> 20):
            yield block
        yield block[: size & 0xFFFFF]

    def read(self, blob: Blob, part: ByteRange | None) -> Iterator[bytes]:
        return self._pieces(blob.size_bytes if part is None else part.length)


@pytest.mark.anyio
async def test_zip64_where_needed_and_nowhere_else(tmp_path: Path) -> None:
    """A file over 4 GiB, and a small one behind it: sparse on disk, so that it costs little."""
    (part,) = Zeros([1, (1 << 32) + 3, 2]).parts()
    archive = tmp_path / "big.zip"
    with archive.open("wb") as file:
        async for piece in part.pieces(ByteRange(0, part.part.size_bytes)):
            if piece.count(0) == len(piece):
                file.seek(len(piece), io.SEEK_CUR)
            else:
                file.write(piece)
        assert file.tell() == part.part.size_bytes
    with zipfile.ZipFile(archive) as read:
        small, big, behind, sums = read.infolist()
        assert (small.file_size, big.file_size, behind.file_size) == (1, (1 << 32) + 3, 2)
        assert [info.extract_version for info in (small, big, behind, sums)] == [20, 45, 45, 45]
        assert read.read("2.bin") == b"\0\0"
    assert run("7z", "t", str(archive), "2.bin") == 0
    assert run("unzip", "-tqq", str(archive), "2.bin") == 0


def test_many_files_of_together_over_4_gib_need_no_zip64_in_front() -> None:
    layout = ZipLayout(UTC)
    blob = Blob(Digest.of(b""), 1 << 30, 1 << 30, 0, Encoding.IDENTITY, OWN_FILE)
    for n in range(6):
        layout.add(Chosen(n, b"%d" % n, EntryKind.FILE, blob, MTIME_NS, None))
    (part,) = layout.finish()
    # Two members, and the list behind them, lie beyond 4 GiB: 28 bytes more each.
    assert part.central_bytes == 6 * (46 + 1 + 9) + 2 * 28


@pytest.mark.anyio
async def test_the_bytes_are_those_of_stream_zip() -> None:
    """Headers are written here, since one must be able to begin anywhere; what they are is not ours to invent."""
    tree = Tree()
    tree.add("Été".encode(), None)
    tree.add("Été/a.txt".encode(), b"content", mode=0o640)
    tree.add(b"empty", b"")
    tree.add(b"b.bin", b"b" * 100_000, mtime_ns=946_684_799_500_000_000)
    data = await zipped(tree, TORONTO)
    (part,) = tree.parts(TORONTO)
    sums = b"".join(list_line(m) for page in [p async for p in part.plan.members("offset", 0)] for m in page)
    names = ["Été/", "Été/a.txt", "empty", "b.bin", "B3SUMS"]
    modes = [0o40755, 0o100640, 0o100644, 0o100644, 0o100444]
    contents = [b"", *(tree.contents[m.blob.digest] for m in tree.members if m.blob), sums]
    times = [*(zip_time(m.mtime_ns, TORONTO) for m in tree.members), zip_time(MTIME_NS, TORONTO)]
    files = (
        (name, time, mode, NO_COMPRESSION_32(len(content), zlib.crc32(content)), (content,))
        for name, time, mode, content in zip(names, times, modes, contents, strict=True)
    )
    assert data == b"".join(stream_zip(files, extended_timestamps=True))


@pytest.mark.anyio
async def test_any_range_is_that_part_of_the_whole() -> None:
    tree = Tree()
    tree.add(b"folder", None)
    for number in range(25):
        tree.add(b"folder/%d.bin" % number, bytes([number]) * (number * 37))
    (part,) = tree.parts(page=4)
    whole = await bytes_of(part)
    edges = sorted({0, len(whole), *(whole.find(b"PK\1\2"), whole.find(b"PK\5\6")), *range(0, len(whole), 211)})
    for first in edges:
        for last in edges[::5]:
            if first < last:
                assert await bytes_of(part, ByteRange(first, last - first)) == whole[first:last]
        assert await bytes_of(part, ByteRange(first, len(whole) - first)) == whole[first:]


@pytest.mark.anyio
async def test_the_list_of_digests_is_what_b3sum_checks(tmp_path: Path) -> None:
    tree = Tree()
    for name in (b"plain.txt", "Été ☀.jpg".encode(), b" spaces  inside", b"B3SUMS", b"empty"):
        tree.add(name, b"" if name == b"empty" else b"data of " + name)
    with zipfile.ZipFile(io.BytesIO(await zipped(tree))) as archive:
        archive.extractall(tmp_path)
        assert archive.namelist()[-1] == "B3SUMS (2)"
    done = subprocess.run(["b3sum", "--check", "B3SUMS (2)"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 5


@pytest.mark.anyio
async def test_parts_are_zips_of_their_own_that_unpack_together(tmp_path: Path) -> None:
    tree = Tree()
    tree.add(b"d", None)
    for number in range(9):
        tree.add(b"d/%d.bin" % number, bytes([number]) * 3_000)
    parts = tree.parts(part_bytes_max=10_000)
    assert len(parts) > 2
    for part in parts:
        data = await bytes_of(part)
        assert len(data) == part.part.size_bytes <= 10_000
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path)
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [f"{n}.bin" for n in range(9)]
    for sums in tmp_path.glob("B3SUMS*"):
        assert (
            subprocess.run(["b3sum", "--check", sums.name], cwd=tmp_path, capture_output=True, check=False).returncode
            == 0
        )


def test_the_end_counts_what_is_there() -> None:
    part = PlannedPart(1, LIMIT_16, LIMIT_32 + 5, 100, b"", 0, 0, 0, 0)
    assert ending(part, UTC).startswith(b"PK\6\6")
    small = PlannedPart(1, LIMIT_16 - 1, 5, 100, b"", 0, 0, 0, 0)
    assert ending(small, UTC).startswith(b"PK\5\6")


@pytest.mark.anyio
@pytest.mark.parametrize("error", [BlobDamaged("wrong"), BlobMissing("gone")])
async def test_a_damaged_blob_breaks_the_zip(error: Exception) -> None:
    tree = Tree()
    tree.add(b"good", b"good")
    tree.add(b"bad", b"bad")
    bad = blob_of(b"bad").digest

    def read(blob: Blob, part: ByteRange | None) -> Iterator[bytes]:
        yield tree.contents[blob.digest][:1]
        if blob.digest == bad:
            raise error
        yield tree.contents[blob.digest][1:]

    tree.read = read  # type: ignore[method-assign]
    (part,) = tree.parts()
    with pytest.raises(type(error)):
        await bytes_of(part)


@pytest.mark.parametrize("packed", [True, False])
def test_wrong_bytes_and_wrong_checksums_are_never_zipped_as_if_whole(tmp_path: Path, packed: bool) -> None:
    """The store's bytes are checked against the digest, and against the CRC-32 that stands in the zip already."""
    backend, store = new_store(tmp_path)
    content = b"right" * 500_000 if not packed else b"right"
    if packed:
        with store.pack() as writer:
            writer.add(content)
            (blob,) = store.place_pack(writer.finish())
    else:
        blob = store.place(store.stage([content]))
    with MemberReads(store) as reads:
        assert b"".join(reads.read(blob)) == content
        assert b"".join(reads.read(blob, ByteRange(2, 3))) == content[2:5]
        wrong = replace(blob, crc32=blob.crc32 ^ 1)
        got: list[bytes] = []
        with pytest.raises(ContentDamaged):
            got.extend(reads.read(wrong))
        assert len(b"".join(got)) < len(content)
        with pytest.raises(ContentDamaged):
            list(reads.read(replace(blob, digest=Digest.of(b"other"))))
    backend.close()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (b"photo.jpg", "photo.jpg"),
        (b"a:b?.txt", "a_b_.txt"),
        (b"back\\slash", "back_slash"),
        (b"C:", "C_"),
        (b"CON", "CON_"),
        (b"con.txt", "con_.txt"),
        (b"Com1 .tar.gz", "Com1_.tar.gz"),
        (b"console", "console"),
        (b"lpt9.", "lpt9_"),
        (b"ends. . ", "ends"),
        (b"...", "_"),
        (b" ", "_"),
        (b"\xff.jpg", "\ufffd.jpg"),
        (b"tab\there", "tab_here"),
        (b".hidden", ".hidden"),
    ],
)
def test_names_that_windows_refuses_are_mended(name: bytes, safe: str) -> None:
    assert safe_name(name) == safe


def test_names_that_fall_together_are_numbered() -> None:
    tree = Tree()
    for path in (b"A.txt", b"a.txt", b"a (2).txt", b"caf\xc3\xa9", b"cafe\xcc\x81", b"x?", b"x*", b"x_"):
        tree.add(path, b"")
    assert names_in(tree) == [
        "A.txt",
        "a (2).txt",
        "a (2) (2).txt",
        "caf\u00e9",
        "cafe\u0301 (2)",
        "x_",
        "x_ (2)",
        "x_ (3)",
    ]


def test_a_renamed_folder_keeps_its_content() -> None:
    tree = Tree()
    for path, data in ((b"Fotos", None), (b"fotos", None), (b"Fotos/a", b""), (b"fotos/a", b""), (b"fotos/d", None)):
        tree.add(path, data)
    tree.add(b"fotos/d/b", b"")
    assert names_in(tree) == ["Fotos/", "fotos (2)/", "Fotos/a", "fotos (2)/a", "fotos (2)/d/", "fotos (2)/d/b"]


def test_folders_of_one_name_from_two_places_become_one() -> None:
    """A selection may hold two folders `Photos`; the catalog then lists both with the same path."""
    tree = Tree()
    for path, data in ((b"Photos", None), (b"Docs", None), (b"Photos", None), (b"Photos/a", b"1"), (b"Docs/a", b"2")):
        tree.add(path, data)
    tree.add(b"Photos/a", b"3")
    tree.add(b"Photos/b", None)
    assert names_in(tree) == [
        "Photos/",
        "Docs/",
        None,
        "Photos/a",
        "Docs/a",
        "Photos/a (2)",
        "Photos/b/",
    ]


def test_links_are_left_out() -> None:
    link = Chosen(0, b"link", EntryKind.LINK, None, MTIME_NS, None)
    assert ZipLayout(UTC).add(link) is None


def test_colliding_names_take_linear_time() -> None:
    tree = Tree()
    for number in range(20_000):
        tree.add(bytes(b"?*<>|:"[number // 6**k % 6] for k in range(6)), b"")
    names = names_in(tree)
    assert len(set(names)) == 20_000


def test_key_set_is_a_set() -> None:
    keys, plain = KeySet(), set()
    for number in range(5_000):
        key = number * 2654435761 % 4093 + 1
        assert keys.add(key) is (key not in plain)
        plain.add(key)


names = st.binary(min_size=1, max_size=255).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
)
awkward = st.sampled_from(
    [
        b"CON",
        b"con",
        b"aux.txt",
        b"a",
        b"A",
        b"a ",
        b"a.",
        b"a (2)",
        b"e\xcc\x81",
        b"\xc3\xa9",
        b"..a",
        b"C:",
        b"\\\\srv",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(names | awkward, max_size=12, unique=True), st.lists(names | awkward, max_size=6, unique=True))
def test_any_names_make_a_zip_that_unpacks_inside_its_folder(top: list[bytes], inside: list[bytes]) -> None:
    tree = Tree()
    for name in top:
        tree.add(name, b"data of " + name)
    tree.add(b"folder" * 40, None)
    for name in inside:
        tree.add(b"folder" * 40 + b"/" + name, name)
    with zipfile.ZipFile(io.BytesIO(anyio.run(zipped, tree))) as archive:
        assert archive.testzip() is None
        found = archive.namelist()
    assert len({name.casefold() for name in found}) == len(tree.members) + bool(tree.contents)
    for path in found:
        parts = path.rstrip("/").split("/")
        assert not path.startswith("/")
        assert all(part not in ("", ".", "..") and not set(part) & set('<>:"\\|?*') for part in parts)
        assert all(len(part.encode()) <= 255 and part[-1] not in " ." for part in parts)


@pytest.mark.anyio
async def test_unzip_and_7z_unpack_awkward_names(tmp_path: Path) -> None:
    tree = Tree()
    for name in (b"CON", b"con", b"a:b", b"a?b", b"\xff\xfe", "名前".encode(), b"x" * 255, b"\xff" * 200, b"-rf"):
        tree.add(name, b"data of " + name)
    archive = tmp_path / "awkward.zip"
    archive.write_bytes(await zipped(tree))
    for tool in (("unzip", "-qq", str(archive), "-d"), ("7z", "x", "-y", str(archive))):
        target = tmp_path / tool[0]
        target.mkdir()
        command = (*tool, str(target)) if tool[0] == "unzip" else (*tool, f"-o{target}")
        assert run(*command) == 0
        contents = sorted(path.read_bytes() for path in target.iterdir())
        assert contents == sorted([*tree.contents.values(), (target / "B3SUMS").read_bytes()])
