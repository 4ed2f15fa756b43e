"""Which maker carries out an order. All cases stand here."""

from collections.abc import Callable
from typing import Final

from tools.worker.making import media, pictures, texts
from tools.worker.making.order import Order, Progress, Refused, Result
from tools.worker.making.sniff import AUDIO, DOCUMENT, IMAGE, PDF, TEXT, VIDEO

_THUMBNAILS: Final = {
    IMAGE: pictures.make_thumbnail,
    VIDEO: media.make_thumbnail,
    AUDIO: media.make_thumbnail,
    DOCUMENT: texts.make_thumbnail,
    TEXT: texts.make_thumbnail,
}
_PREVIEWS: Final = {
    IMAGE: pictures.make_preview,
    VIDEO: media.make_preview,
    AUDIO: media.make_preview,
    DOCUMENT: texts.make_preview,
    TEXT: texts.make_preview,
}
_PICTURES: Final = {
    "rotate": pictures.make_rotated,
    "crop": pictures.make_cropped,
    "resize": pictures.make_resized,
    "convert": pictures.make_converted,
    "strip": pictures.make_stripped,
}
_FILMS: Final = {
    "video-poster": media.make_poster,
    "contact-strip": media.make_strip,
    "waveform": media.make_waveform,
}


def make(order: Order, progress: Progress) -> Result:
    """Carry it out. Raises `Refused`."""
    if order.kind == PDF:
        return _of_pdf(order, progress)
    quick = _quick(order)
    if quick is not None:
        return quick(order)
    match order.recipe, order.kind:
        case "video", "video":
            return media.make_video(order, progress)
        case "audio", ("video" | "audio"):
            return media.make_audio(order, progress)
        case _:
            raise Refused("Nothing of this kind can be made of such a file.")


def _quick(order: Order) -> Callable[[Order], Result] | None:
    """The maker of what is done before its progress could be told."""
    match order.recipe:
        case "thumbnail":
            return _THUMBNAILS.get(order.kind)
        case "preview":
            return _PREVIEWS.get(order.kind)
        case recipe if order.kind == IMAGE:
            return _PICTURES.get(recipe)
        case recipe if order.kind in {VIDEO, AUDIO}:
            return _FILMS.get(recipe)
        case _:
            return None


def _of_pdf(order: Order, progress: Progress) -> Result:
    from tools.worker.making import pdf  # noqa: PLC0415 - PDFium is loaded in the process that reads a PDF, and in no other

    match order.recipe:
        case "thumbnail":
            return pdf.make_thumbnail(order)
        case "preview":
            return pdf.make_preview(order)
        case "pdf-pages":
            return pdf.make_pages(order, progress)
        case _:
            raise Refused("Nothing of this kind can be made of a PDF.")
