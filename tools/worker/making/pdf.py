"""PDFs, with PDFium: it is not safe for threads, and needs none here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image
from pypdfium2 import PdfDocument, PdfiumError

from tools.worker.making.order import FoundFacts, Order, Piece, Progress, Refused, Result
from tools.worker.making.pictures import PIXELS_MAX, PREVIEW_EDGE, THUMBNAIL_EDGE, save_small
from tools.worker.making.sniff import PDF

POINTS_PER_INCH: Final = 72


def make_thumbnail(order: Order) -> Result:
    """The facts and the first page."""
    with _opened(order) as document:
        facts = FoundFacts(PDF, order.media_type, pages=len(document))
        try:
            return Result([save_small(_fitting(document, THUMBNAIL_EDGE), order.out, THUMBNAIL_EDGE)], facts)
        except Refused as error:
            return Result(facts=facts, refusal=str(error))


def make_preview(order: Order) -> Result:
    with _opened(order) as document:
        return Result([save_small(_fitting(document, PREVIEW_EDGE), order.out, PREVIEW_EDGE)])


def make_pages(order: Order, progress: Progress) -> Result:
    """Each page as a PNG."""
    first, count, dpi = order.number("first"), order.number("pages"), order.number("dpi")
    result = Result()
    with _opened(order) as document:
        if first > len(document):
            raise Refused(f"The document has {len(document):,} pages.")
        last = min(len(document), first + count - 1)
        for number in range(first, last + 1):
            name = str(number - first)
            _page(document, number - 1, dpi / POINTS_PER_INCH).save(order.out / name, "PNG", dpi=(dpi, dpi))
            parameters = {"first": number, "pages": 1, "dpi": dpi}
            result.pieces.append(Piece(name, "image/png", f"-{number}.png", dict(parameters)))
            progress((number - first + 1) * 100 // (last - first + 1))
    return result


@contextmanager
def _opened(order: Order) -> Iterator[PdfDocument]:
    try:
        document = PdfDocument(order.source)
    except PdfiumError as error:
        why = "it is protected by a password" if "password" in str(error).lower() else f"it is damaged ({error})"
        raise Refused(f"The PDF cannot be read: {why}.") from error
    try:
        if len(document) == 0:
            raise Refused("The PDF has no pages.")
        yield document
    finally:
        document.close()


def _fitting(document: PdfDocument, edge: int) -> Image.Image:
    try:
        longer = max(document.get_page_size(0))
    except PdfiumError as error:
        raise Refused(f"The first page cannot be read ({error}).") from error
    return _page(document, 0, edge / max(longer, 1))


def _page(document: PdfDocument, index: int, scale: float) -> Image.Image:
    try:
        page = document[index]
        width, height = (side * scale for side in page.get_size())
        if width * height > PIXELS_MAX or min(width, height) <= 0:
            raise Refused(f"Page {index + 1} would have {width * height / 1e6:,.0f} million pixels. Take fewer dots.")
        drawn: Image.Image = page.render(scale=scale, may_draw_forms=False).to_pil()
        return drawn.convert("RGB")
    except PdfiumError as error:
        raise Refused(f"Page {index + 1} cannot be read ({error}).") from error
