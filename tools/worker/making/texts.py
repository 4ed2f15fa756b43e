"""Texts and office documents: their words, as plain UTF-8, and a small picture of the first lines.

Office documents are read by the libraries of their formats (python-docx, openpyxl, python-pptx; OpenDocument with
lxml). No layout is tried: that takes an office suite, and a customer who looks for a document looks for its words.
"""

import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from charset_normalizer import from_bytes
from PIL import Image, ImageDraw, ImageFont

from tools.worker.making.order import FoundFacts, Order, Piece, Refused, Result
from tools.worker.making.pictures import THUMBNAIL_EDGE, save_small
from tools.worker.making.sniff import DOCUMENT, TEXT

PREVIEW_CHARACTERS_MAX: Final = 64 * 1024
READ_BYTES_MAX: Final = 256 * 1024
LINES_DRAWN: Final = 22
COLUMNS_DRAWN: Final = 40
ROWS_READ_MAX: Final = 10_000
MEMBERS_MAX: Final = 10_000
PLAIN_BYTES_MAX: Final = 256 << 20
"""Of all members of an office file together, as its directory promises: more is a bomb."""

_LATIN: Final = frozenset({"cp1250", "cp1252", "cp1254", "cp1257", "latin_1", "iso8859_2", "iso8859_15", "mac_roman"})
_PAGE: Final = (240, 320)
_FONTS: Final = ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",)
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SLIDES: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_OPEN: Final = "application/vnd.oasis.opendocument"
_ODF_TEXT: Final = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_ODF_TABLE: Final = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def make_thumbnail(order: Order) -> Result:
    """The facts, and the first lines as a picture of a page."""
    media_type, text = read_text(order)
    facts = FoundFacts(order.kind, media_type)
    return Result([save_small(_drawn(text), order.out, THUMBNAIL_EDGE)], facts)


def make_preview(order: Order) -> Result:
    """The text itself."""
    text = read_text(order)[1]
    (order.out / "0").write_text(text, encoding="utf-8")
    return Result([Piece("0", "text/plain", ".txt")])


def read_text(order: Order) -> tuple[str, str]:
    """The media type, now that the content was looked at, and the first `PREVIEW_CHARACTERS_MAX` characters."""
    if order.kind == TEXT:
        with order.source.open("rb") as file:
            return order.media_type, _tidy(decoded(file.read(READ_BYTES_MAX)))
    if order.kind == DOCUMENT:
        return _office_text(order.source)
    raise Refused("There is no text in this file.")


def decoded(data: bytes) -> str:
    """Bytes as text: by the byte order mark, as UTF-8, else by the encoding whose result reads best."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # The end may have cut one character in two.
        if error.start >= len(data) - 3:
            return data[: error.start].decode("utf-8")
    best = from_bytes(data[:65_536]).best()
    # Between the Latin alphabets of one byte a guess is little more than that: the one that is used most wins.
    encoding = "cp1252" if best is None or best.encoding in _LATIN else best.encoding
    return data.decode(encoding, "replace")


def _office_text(source: Path) -> tuple[str, str]:
    with _opened(source) as archive:
        names = set(archive.namelist())
        for member, media_type, lines in (
            ("word/document.xml", _WORD, _word_lines),
            ("xl/workbook.xml", _SHEET, _sheet_lines),
            ("ppt/presentation.xml", _SLIDES, _slide_lines),
        ):
            if member in names:
                return media_type, _joined(lines, source)
        if "content.xml" in names:
            kind = archive.read("mimetype")[:100].decode("ascii", "replace") if "mimetype" in names else _OPEN
            return (kind if kind.startswith(_OPEN) else _OPEN), _joined(_open_lines, source)
    raise Refused("This archive is no office document that is read here.")


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Refused(f"The document cannot be read: its archive is damaged ({error}).") from error
    members = archive.infolist()
    if len(members) > MEMBERS_MAX or sum(member.file_size for member in members) > PLAIN_BYTES_MAX:
        archive.close()
        raise Refused("The document unpacks to far more than a document holds, so it is not opened.")
    return archive


def _joined(lines: Callable[[Path], Iterator[str]], source: Path) -> str:
    """As many lines as the preview holds. The libraries fail in many ways over a damaged file: each means the same
    here."""
    text, length = [], 0
    try:
        for line in lines(source):
            text.append(line)
            length += len(line) + 1
            if length > PREVIEW_CHARACTERS_MAX:
                break
    except MemoryError:
        raise
    except Exception as error:
        raise Refused(f"The document cannot be read: it is damaged ({type(error).__name__}).") from error
    return _tidy("\n".join(text))


def _word_lines(source: Path) -> Iterator[str]:
    from docx import Document  # noqa: PLC0415 - a tenth of a second, for the few that need it
    from docx.table import Table  # noqa: PLC0415

    for block in Document(str(source)).iter_inner_content():
        if isinstance(block, Table):
            yield from ("\t".join(cell.text for cell in row.cells) for row in block.rows)
        else:
            yield block.text


def _sheet_lines(source: Path) -> Iterator[str]:
    from openpyxl import load_workbook  # noqa: PLC0415

    with source.open("rb") as file:  # by its name it would be refused for its extension
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            yield sheet.title
            for row in islice(sheet.iter_rows(values_only=True), ROWS_READ_MAX):
                yield "\t".join("" if value is None else str(value) for value in row).rstrip()


def _slide_lines(source: Path) -> Iterator[str]:
    from pptx import Presentation  # noqa: PLC0415

    for number, slide in enumerate(Presentation(str(source)).slides, 1):
        yield f"— {number} —"
        for shape in slide.shapes:
            text: Any = getattr(shape, "text", "")
            if text:
                yield str(text)


def _open_lines(source: Path) -> Iterator[str]:
    from lxml import etree  # noqa: PLC0415

    with zipfile.ZipFile(source) as archive:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        tree = etree.fromstring(archive.read("content.xml"), parser)
    wanted = (f"{_ODF_TEXT}h", f"{_ODF_TEXT}p", f"{_ODF_TABLE}table-row")
    for element in tree.iter(*wanted):
        if element.tag == wanted[2]:
            yield "\t".join("".join(cell.itertext()) for cell in element)
        elif not any(parent.tag == wanted[2] for parent in element.iterancestors()):
            yield "".join(element.itertext())


def _tidy(text: str) -> str:
    """Without control characters but tab and line feed, and not longer than a preview."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return "".join(c for c in text if c == "\n" or c.isprintable() or c == "\u00a0")[:PREVIEW_CHARACTERS_MAX]


def _drawn(text: str) -> Image.Image:
    page = Image.new("RGB", (_PAGE[0] * 2, _PAGE[1] * 2), "white")
    lines = [line[:COLUMNS_DRAWN] for line in text.split("\n")[:LINES_DRAWN]]
    ImageDraw.Draw(page).multiline_text((28, 28), "\n".join(lines), fill=(40, 44, 52), font=_font(), spacing=7)
    return page


def _font() -> Any:
    for path in _FONTS:
        if Path(path).is_file():
            return ImageFont.truetype(path, 20)
    return ImageFont.load_default(20)
