"""How texts and sizes of the server are shown at a terminal."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNITS = ("KB", "MB", "GB", "TB", "PB", "EB")


def printable(text: str) -> str:
    """A text that came from elsewhere: what would move the cursor or turn the line around becomes U+FFFD."""
    return "".join(character if character.isprintable() else REPLACEMENT for character in text)


def size_text(count_bytes: int) -> str:
    """`1.4 GB`, `12 KB`, `1 byte`, as the portal shows it: 1 KB is 1,024 bytes."""
    if count_bytes < 1024:
        return f"{count_bytes} {'byte' if count_bytes == 1 else 'bytes'}"
    value, unit = float(count_bytes), 0
    while value >= 1023.5 or unit == 0:
        value /= 1024
        unit += 1
    text = f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
    return f"{text[:-2] if text.endswith('.0') else text} {_UNITS[unit - 1]}"
