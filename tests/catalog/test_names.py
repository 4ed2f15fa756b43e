"""Names: folding, kinds, numbering, and the paths that cannot exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadPath
from catalog.names import fold, media_kind, media_type, numbered, split_extension
from catalog.values import EntryPath, MediaKind


@pytest.mark.parametrize(
    ("name", "folded"),
    [("Straße", "strasse"), ("ﬁle", "file"), ("e\u0301", "e"), ("É", "e"), ("İ", "i"), ("x" * 600, "x" * 512)],
)
def test_fold(name: str, folded: str) -> None:
    assert fold(name.encode()) == folded


@given(st.text())
def test_fold_is_its_own_fold(name: str) -> None:
    raw = name.encode("utf-8", "surrogatepass")
    once = fold(raw)
    assert len(once) <= 512
    assert fold(once.encode()) == once or len(once) == 512


@pytest.mark.parametrize(
    ("name", "of_type", "kind"),
    [
        (b"a.JPG", "image/jpeg", MediaKind.IMAGE),
        (b"a.heic", "image/heic", MediaKind.IMAGE),
        (b"a.mov", "video/quicktime", MediaKind.VIDEO),
        (b"a.flac", "audio/flac", MediaKind.AUDIO),
        (b"a.md", "text/markdown", MediaKind.DOCUMENT),
        (b"a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", MediaKind.DOCUMENT),
        (b"a", "application/octet-stream", MediaKind.OTHER),
        (b"\xff.jpg", "image/jpeg", MediaKind.IMAGE),
    ],
)
def test_media(name: bytes, of_type: str, kind: MediaKind) -> None:
    assert (media_type(name), media_kind(name)) == (of_type, kind)


def test_split_extension() -> None:
    assert split_extension(b"a.tar.gz") == (b"a.tar", b".gz")
    assert split_extension(b".bashrc") == (b".bashrc", b"")
    assert split_extension(b"plain") == (b"plain", b"")


@given(st.text(min_size=1, max_size=300), st.integers(1, 10_000))
def test_a_numbered_name_is_a_name(name: str, count: int) -> None:
    raw = name.encode("utf-8", "replace")[:255] or b"x"
    assert 1 <= len(numbered(raw, b"-recovered", count)) <= 255


def test_a_cut_name_stays_valid_utf_8() -> None:
    long = ("é" * 125).encode() + b".txt"
    numbered(long, b"-recovered", 1).decode()


@pytest.mark.parametrize(
    "text", ["a//b", "/a", "a/", "../a", "a/..", ".", "a\tb", "a\nb", "a\x7f", "\x00", "a\u0085b", "x" * 256, "é" * 128]
)
def test_bad_paths(text: str) -> None:
    with pytest.raises(BadPath):
        EntryPath.parse(text)


def test_limits_of_a_path() -> None:
    EntryPath.parse("/".join(["a"] * 64))
    with pytest.raises(BadPath):
        EntryPath.parse("/".join(["a"] * 65))
    with pytest.raises(BadPath):
        EntryPath.parse("/".join(["x" * 250] * 17))
    with pytest.raises(BadPath):
        EntryPath.parse("\ud800")


@given(st.binary(max_size=400))
def test_a_path_of_bytes_either_parses_to_itself_or_is_refused(raw: bytes) -> None:
    try:
        path = EntryPath.parse_bytes(raw)
    except BadPath:
        return
    assert path.raw == raw
    assert all(name not in (b"", b".", b"..") and b"\0" not in name for name in path.names)
