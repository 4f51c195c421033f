"""Pictures of a DAW that come with a question: checked by their first bytes, then written anew.

Written anew means: decoded, turned upright, made small enough, and encoded from the bare pixels. Metadata (place,
device, hidden text), colour profiles and whatever was appended do not survive it.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING, Any

from assistant.pieces import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 3
LARGEST_BYTES = 10 * 1000 * 1000
LARGEST_BODY_BYTES = 31 * 1000 * 1000  # below the 32 MB of a request on the platform
LARGEST_TOGETHER_BYTES = 23 * 1000 * 1000  # what fits into such a body: base64 makes 4 bytes of 3
LARGEST_PIXELS = 25_000_000  # a 6K screen has 20; a small file may unpack to a huge picture
LONGEST_SIDE = 1_568  # more is made smaller by the services themselves
TOGETHER = (
    f"{LARGEST_BYTES // 1_000_000} MB each and {LARGEST_TOGETHER_BYTES // 1_000_000} MB together at most, since base64 "
    "makes 4 bytes of 3 and a request has a limit"
)
_DATA_URL = re.compile(r"data:image/(png|jpeg|webp);base64,([A-Za-z0-9+/=]+)")


def pictures(value: Any, faults: list[str]) -> tuple[Picture, ...]:
    """The pictures of a question's `images`, a list of data URLs; what is wrong is added to `faults`."""
    if value is None or value == []:
        return ()
    if not isinstance(value, list) or len(value) > MOST:
        faults.append(f"images must be a list of at most {MOST} data URLs")
        return ()
    if sum(len(url) for url in value if isinstance(url, str)) > -(-LARGEST_TOGETHER_BYTES // 3) * 4 + MOST * 100:
        faults.append(f"images: {TOGETHER}")
        return ()
    taken = []
    for index, url in enumerate(value):
        try:
            taken.append(picture(url))
        except ValueError as error:
            faults.append(f"images[{index}] {error}")
    return tuple(taken)


def picture(url: object) -> Picture:
    """One picture, checked and written anew. Raises ValueError that says what is wrong with it."""
    match = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise ValueError("must be a data URL of a PNG, JPEG or WebP image in base64")
    if len(match[2]) > -(-LARGEST_BYTES // 3) * 4:
        raise ValueError(f"is larger than {LARGEST_BYTES // 1_000_000} MB")
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64") from error
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"is larger than {LARGEST_BYTES // 1_000_000} MB")
    if kind_of(data) is None:
        raise ValueError("is not a PNG, JPEG or WebP image, whatever it says")
    return Picture("image/jpeg", _written_anew(data))


def kind_of(data: bytes) -> str | None:
    """The format by the first bytes (PNG 5.2, JPEG B.1.1.3, RFC 9649 2.4)."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def _written_anew(data: bytes) -> bytes:
    from PIL import Image as Images

    try:
        with Images.open(io.BytesIO(data), formats=[str(kind_of(data))]) as opened:
            bare = _bare(opened) if opened.width * opened.height <= LARGEST_PIXELS else None
    except Exception as error:  # a decoder fails in many ways, and none of them is ours
        raise ValueError("cannot be decoded") from error
    if bare is None:
        raise ValueError(f"has more than {LARGEST_PIXELS // 1_000_000} million pixels")
    written = io.BytesIO()
    bare.save(written, "JPEG", quality=85)
    return written.getvalue()


def _bare(opened: Image) -> Image:
    """The pixels alone, upright and small enough."""
    from PIL import Image as Images
    from PIL import ImageOps

    opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
    smaller = opened if opened.mode in ("RGB", "RGBA", "L") else opened.convert("RGB")
    smaller.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    upright = ImageOps.exif_transpose(smaller).convert("RGB")
    bare = Images.new("RGB", upright.size)
    bare.paste(upright)
    return bare
