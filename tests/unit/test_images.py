"""Pictures: what is none is refused by its bytes, and what is one keeps its pixels and nothing else."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assistant import images
from assistant.questions import question
from shared.problems import Problem

SECRET = b"SECRET-PLACE-OF-THE-STUDIO"


def written(kind: str, size: tuple[int, int] = (40, 20), **how: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind, **how)
    return out.getvalue()


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def fault(value: object) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        images.picture(value)
    return str(raised.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_written_anew_without_its_metadata(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    data = written(kind, exif=exif, comment=SECRET) + SECRET
    assert SECRET in data
    made = images.picture(url(data, kind.lower()))
    assert SECRET not in made.data
    with Image.open(io.BytesIO(made.data)) as opened:
        assert (opened.format, opened.size, dict(opened.getexif())) == ("JPEG", (40, 20), {})
        red, green, _ = opened.getpixel((20, 10))  # type: ignore[misc]
        assert red > 180 > 60 > green


def test_a_picture_is_turned_upright_and_made_small_enough() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    with Image.open(io.BytesIO(images.picture(url(written("JPEG", (3_000, 2_000), exif=exif))).data)) as opened:
        assert opened.height == images.LONGEST_SIDE
        assert opened.width < opened.height


def test_the_first_bytes_decide_whatever_the_address_says() -> None:
    for data in (b"GIF89a" + bytes(50), b"<svg onload=alert(1)>", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE", b"PK\3\4", b"MZ"):
        assert fault(url(data)) == "is not a PNG, JPEG or WebP image, whatever it says"
    assert images.picture(url(written("JPEG"), "png")).content_type == "image/jpeg"


def test_what_only_begins_like_a_picture_is_refused() -> None:
    assert fault(url(b"\x89PNG\r\n\x1a\n" + bytes(100))) == "cannot be decoded"
    assert fault(url(written("PNG")[:60])) == "cannot be decoded"


def test_a_small_file_that_unpacks_to_a_huge_picture_is_refused() -> None:
    bomb = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 100_000
    assert "million pixels" in fault(url(bomb.getvalue()))


def test_sizes_and_numbers_are_bounded() -> None:
    assert fault(url(bytes(images.LARGEST_BYTES + 1))) == "is larger than 10 MB"
    faults: list[str] = []
    assert images.pictures([url(written("PNG"))] * 4, faults) == ()
    assert faults == ["images must be a list of at most 3 data URLs"]


@pytest.mark.parametrize(
    "value", [7, None, "https://evil.example/x.png", "data:text/html;base64,AAAA", "data:image/png,x"]
)
def test_only_data_urls_are_taken_so_that_nothing_is_fetched(value: object) -> None:
    assert fault(value) == "must be a data URL of a PNG, JPEG or WebP image in base64"


def test_a_question_names_the_faults_of_its_pictures() -> None:
    good = url(written("WEBP"), "webp")
    assert len(question({"message": "?", "images": [good, good]}).pictures) == 2
    with pytest.raises(Problem, match=r"images\[1\] is not a PNG"):
        question({"message": "?", "images": [good, url(b"GIF89a")]})


@settings(deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x10\0\0\0WEBPVP8 "])
)
def test_any_bytes_are_a_picture_or_a_fault(data: bytes, start: bytes) -> None:
    faults: list[str] = []
    taken = images.pictures([url(start + data)], faults)
    assert len(taken) + len(faults) == 1
