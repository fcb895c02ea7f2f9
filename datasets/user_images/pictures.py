"""One image file: what its header says, and its pixels as bytes of one shape.

Formats are pinned and sizes bounded, since the files may be a stranger's. EXIF's orientation is applied, transparency
laid on white; images of 16 bits a channel are refused, since no rule of scaling them fits every field.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ..catalog import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
GREY = ("1", "L", "LA", "La")
MODES = (*GREY, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
ARRAY_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the channels of an array
MOST_PIXELS = 2**26
MOST_BYTES = 2**28  # of a file
TOO_LARGE = f"it has more than {MOST_PIXELS:,} pixels"
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values that exchange width and height
# All that Pillow raises for a damaged file.
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


class Facts(NamedTuple):
    """The SHA-256 of an image's bytes, its size in pixels as it is shown, and its mode in Pillow's words."""

    digest: str
    width: int
    height: int
    mode: str


def facts(data: bytes, where: str) -> Facts:
    """What the header of an image file says; its pixels are not decoded. DataError where it cannot be used."""
    with _opened(data, where) as image:
        width, height = image.size
        try:  # a PNG would be decoded for it
            turned = image.format != "PNG" and image.getexif().get(ORIENTATION) in TURNED
        except UNREADABLE as error:
            raise _refused(where, _why(error)) from None
        if turned:
            width, height = height, width
        return Facts(hashlib.sha256(data).hexdigest(), width, height, image.mode)


def pixels(data: bytes, where: str, shape: tuple[int, int, int]) -> np.ndarray:
    """The image as uint8 of ``shape`` (channels 1 or 3, height, width).

    One of another size is scaled, bilinearly and with its proportions kept, until it covers the size, and its centre
    is cut out. DataError where it cannot be used.

    Args:
        data: The file's bytes.
        where: Its name, for the message.
        shape: Channels, height and width.
    """
    with _opened(data, where) as image:
        return of_image(image, where, shape)


def of_image(image: Image.Image, where: str, shape: tuple[int, int, int]) -> np.ndarray:
    """The same of an image that is open.

    Args:
        image: The image.
        where: Its name, for the message.
        shape: Channels, height and width.
    """
    _check(image, where)
    try:
        return _brought_to(ImageOps.exif_transpose(image), shape)
    except UNREADABLE as error:
        raise _refused(where, _why(error)) from None


def thumbnail(data: bytes, where: str, side: int) -> Image.Image:
    """The whole image in colour, at most ``side`` pixels wide and high. A JPEG is decoded no larger than that needs.
    DataError where it cannot be used.

    Args:
        data: The file's bytes.
        where: Its name, for the message.
        side: In pixels.
    """
    with _opened(data, where) as image:
        try:
            image.draft("RGB", (2 * side, 2 * side))
            return _small(ImageOps.exif_transpose(image), side)
        except UNREADABLE as error:
            raise _refused(where, _why(error)) from None


def thumbnail_of_array(x: np.ndarray, side: int) -> Image.Image:
    """The same of an image that is an array already."""
    return _small(_image(x), side)


def _small(image: Image.Image, side: int) -> Image.Image:
    image = _on_white(image).convert("RGB")
    image.thumbnail((side, side))
    return image


def of_array(x: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The same of an image that is an array already, uint8 (height, width) or (height, width, channels)."""
    return _brought_to(_image(x), shape)


def _image(x: np.ndarray) -> Image.Image:
    return Image.fromarray(x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _brought_to(image: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    image = _on_white(image).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _opened(data: bytes, where: str) -> Image.Image:
    if len(data) > MOST_BYTES:
        raise _refused(where, f"the file is larger than {MOST_BYTES // 2**20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, about odd metadata
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UNREADABLE as error:
        raise _refused(where, _why(error)) from None
    _check(image, where)
    return image


def _check(image: Image.Image, where: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _refused(where, TOO_LARGE)
    if image.mode not in MODES:
        raise _refused(where, f"its mode is {image.mode}, of more than 8 bits a channel: convert it to 8 bits first")


def _why(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return TOO_LARGE
    return (
        "it is no image" if isinstance(error, Image.UnidentifiedImageError) else f"it is damaged or cut short ({error})"
    )


def _refused(where: str, why: str) -> DataError:
    return DataError(f"{where} cannot be used: {why}")
