"""Sizes as operators write them."""

import argparse
import re
from typing import Final

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


def parse_size(text: str) -> int:
    """`500G` → bytes (powers of 1024). Raises argparse's error."""
    match = re.fullmatch(r"(\d{1,18})([KMGTP]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError("give bytes, or a size such as 500M, 20G or 2T")
    return int(match[1]) * _UNITS[match[2].upper()]
