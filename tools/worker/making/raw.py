"""RAW pictures of cameras: the preview that the camera put into the file, found by LibRaw. Nothing is developed."""

import io
from pathlib import Path

import numpy as np
import rawpy
from PIL import Image

from tools.worker.making.order import Refused


def embedded_preview(source: Path) -> bytes:
    """The largest preview in the file, as JPEG. Raises `Refused` if there is none."""
    try:
        with rawpy.imread(str(source)) as raw:
            found = raw.extract_thumb()
    except rawpy.LibRawError as error:
        raise Refused(f"The RAW picture has no preview that can be read ({error}).") from error
    if found.format == rawpy.ThumbFormat.JPEG:
        return bytes(found.data)
    data = io.BytesIO()
    Image.fromarray(np.asarray(found.data)).save(data, "JPEG", quality=95)
    return data.getvalue()
