"""Writes the sample's documents: plain text, Markdown, CSV, and PDF pages drawn with Pillow."""

import io
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from PIL import Image, ImageDraw, ImageFont

PAGE_PIXELS: Final = (1240, 1754)
"""A4 at 150 dots per inch."""

PAGE_DPI: Final = 150
_MARGIN: Final = 150


def price_list(portrait_dollars: int, wedding_dollars: int, note: str) -> bytes:
    return (
        "MAPLE STREET PHOTOGRAPHY\nPrice list\n\n"
        f"Portrait session, one hour      {portrait_dollars:>6,} $\n"
        f"Family session, two hours       {portrait_dollars * 7 // 4:>6,} $\n"
        f"Wedding, a whole day            {wedding_dollars:>6,} $\n"
        f"Album, 40 pages                 {wedding_dollars // 6:>6,} $\n\n{note}\n"
    ).encode()


def income(year: int) -> bytes:
    """A year's income as CSV: month, sessions, income in dollars."""
    rows = [
        f"{year}-{month:02},{3 + (month * 7 + year) % 9},{1800 + (month * 431 + year * 97) % 5200}"
        for month in range(1, 13)
    ]
    return "\n".join(["month,sessions,income_dollars", *rows, ""]).encode()


def notes(title: str, lines: Sequence[str]) -> bytes:
    """A short Markdown note."""
    return "\n".join([f"# {title}", "", *(f"- {line}" for line in lines), ""]).encode()


def pdf(title: str, paragraphs: Sequence[str], made: datetime) -> bytes:
    """One A4 page of text as PDF. The same words give the same bytes."""
    page = Image.new("L", PAGE_PIXELS, 255)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN), "MAPLE STREET PHOTOGRAPHY", font=_font(26), fill=120)
    draw.text((_MARGIN, _MARGIN + 70), title, font=_font(52), fill=20)
    draw.line((_MARGIN, _MARGIN + 160, PAGE_PIXELS[0] - _MARGIN, _MARGIN + 160), fill=190, width=2)
    y = _MARGIN + 210
    for paragraph in paragraphs:
        for line in _wrapped(draw, paragraph):
            draw.text((_MARGIN, y), line, font=_font(28), fill=40)
            y += 44
        y += 26
    out = io.BytesIO()
    stamp = time.gmtime(made.timestamp())
    page.save(out, "PDF", resolution=PAGE_DPI, title=title, creationDate=stamp, modDate=stamp)
    return out.getvalue()


def _wrapped(draw: ImageDraw.ImageDraw, text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=_font(28)) > PAGE_PIXELS[0] - 2 * _MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
