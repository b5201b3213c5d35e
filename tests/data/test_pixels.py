"""Images are read as a person sees them, whatever their mode, or refused by name."""

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmsrl_adapt.data import DataError, open_data
from dmsrl_adapt.data import decode as decoding
from dmsrl_adapt.data.pixels import tones

from ..conftest import encode

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
WANTED = np.arange(256).reshape(16, 16)


def decode(content: bytes, name: str) -> np.ndarray:
    return decoding.decode(content, name).pixels


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png16(values: np.ndarray, color_type: int) -> bytes:
    """A PNG of 16 bits a channel, (H, W) or (H, W, C), which Pillow reads in colors but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color_type, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("scale", "shift", "dtype"),
    [
        (1, 0, np.float32),  # shares
        (255, 0, np.float32),  # bytes as floating point
        (2, -1, np.float32),  # as networks take them
        (4000, 0, np.float32),  # reflectance, elevation
        (20, 10, np.float32),  # degrees
        (0.01, 0, np.float32),
        (65535, 0, np.uint16),
        (4095, 0, np.uint16),  # 12 bits in 16
        (1023, 0, np.uint16),
        (16383, 0, np.uint16),
        (255, 0, np.uint16),
        (1000, 7400, np.uint16),  # a thermal camera
        (4000, -1000, np.int32),  # a tomograph
        (1e6, 0, np.int32),
        (4095, 0, np.int16),
    ],
)
def test_deep_grey_keeps_its_picture(scale: float, shift: float, dtype: type) -> None:
    values = (RAMP * scale + shift).astype(dtype)
    image = decode(encoded(Image.fromarray(values), "TIFF"), "deep.tif")
    assert (image == image[..., :1]).all()
    assert np.abs(image[..., 0] - WANTED).max() <= 2


def test_a_fixed_range_is_kept_where_it_is_filled() -> None:
    assert tones(np.array([[0.25, 0.75]])).tolist() == [[64, 191]]
    assert tones(np.array([[64.0, 128.0]])).tolist() == [[64, 128]]
    assert tones(np.array([[0, 25700, 65535]], np.uint16)).tolist() == [[0, 100, 255]]
    assert tones(np.array([[1.0, 1.0]])).tolist() == [[255, 255]]
    assert tones(np.array([[0, 0]], np.uint16)).tolist() == [[0, 0]]
    assert tones(np.array([[-3.0, -3.0]])).tolist() == [[127, 127]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    values = RAMP.astype(np.float32)
    values[3, 3] = bad
    with pytest.raises(DataError, match=r"depth\.tif cannot be read as an image: it must have finite values"):
        decode(encoded(Image.fromarray(values), "TIFF"), "depth.tif")


def test_white_is_zero_in_deep_grey() -> None:
    for values in ((65535 * RAMP).astype(np.uint16), (255 * RAMP).astype(np.uint8), RAMP.astype(np.float32)):
        content = encoded(Image.fromarray(values), "TIFF")
        tag = struct.pack("<HHI", 262, 3, 1)
        assert content.count(tag + b"\1") == 1
        image = decode(content.replace(tag + b"\1", tag + b"\0"), "inverse.tif")
        assert image[0, 0, 0] == 255 and image[-1, -1, 0] == 0


def test_colors_of_two_bytes_are_read_where_they_fill_them_and_refused_by_name_where_not() -> None:
    full = np.repeat((65535 * RAMP).astype(np.uint16)[..., None], 3, 2)
    assert np.abs(decode(png16(full, 2), "full.png")[..., 0] - WANTED).max() <= 1
    opaque = np.full((16, 16, 1), 65535, np.uint16)
    for content in (png16(full // 16, 2), png16(np.concatenate([full // 16, opaque], 2), 6), png16(full // 256, 2)):
        with pytest.raises(DataError, match=r"a\.png cannot be read as an image: its colors must fill their 16 bits"):
            decode(content, "a.png")


def strokes(color: int, alpha: int = 255) -> Image.Image:
    """A square of one color on a transparent ground of the other."""
    pixels = np.full((32, 32, 4), color, np.uint8)
    pixels[..., 3] = 0
    pixels[8:24, 8:24, 3] = alpha
    return Image.fromarray(pixels)


def in_palette(image: Image.Image) -> bytes:
    """Black strokes in a palette whose transparent color is black too."""
    paletted = Image.fromarray((np.asarray(image)[..., 3] > 0).astype(np.uint8), "L").convert("P")
    paletted.putpalette([0, 0, 0, 0, 0, 0])
    return encoded(paletted, "PNG", transparency=0)


def key_color(image: Image.Image) -> bytes:
    """Strokes of 0 on 1, of which 1 is transparent, without alpha."""
    grey = (np.asarray(image)[..., 3] == 0).astype(np.uint8)
    return encoded(Image.fromarray(grey), "PNG", transparency=1)


@pytest.mark.parametrize(
    "content",
    [
        encoded(strokes(0), "PNG"),
        encoded(strokes(0), "TIFF"),
        encoded(strokes(0), "WEBP", lossless=True),
        encoded(strokes(0).convert("LA"), "PNG"),
        encoded(strokes(0).convert("PA").convert("RGBA"), "PNG"),
        in_palette(strokes(0)),
        key_color(strokes(0)),
        encoded(Image.fromarray((np.asarray(strokes(0))[..., 3] == 0).astype(np.uint16)), "PNG", transparency=1),
        encoded(strokes(0), "GIF"),
    ],
)
def test_black_strokes_on_a_transparent_ground_are_black_on_white(content: bytes) -> None:
    image = decode(content, "ink")
    assert image[0, 0].min() == 255 and image[16, 16].max() <= 1


def test_half_transparent_is_mixed_with_white_and_white_strokes_are_seen() -> None:
    assert decode(encoded(strokes(0, alpha=51), "PNG"), "pale")[16, 16, 0] == 204
    white = decode(encoded(strokes(255), "PNG"), "chalk")
    assert white[0, 0].max() == 0 and white[16, 16].min() == 255
    opaque = Image.new("RGBA", (8, 8), (255, 255, 255, 255))
    assert decode(encoded(opaque, "PNG"), "paper").min() == 255
    with pytest.raises(DataError, match=r"nothing\.png cannot be read as an image: it is transparent all over"):
        decode(encoded(strokes(0, alpha=0), "PNG"), "nothing.png")


def test_other_modes_show_their_picture() -> None:
    red = Image.new("RGB", (16, 16), (200, 20, 30))
    same = [(mode, red.convert(mode), kind) for mode, kind in (("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG"))]
    for mode, image, kind in (*same, ("P", red.quantize(), "PNG"), ("LAB", lab(red), "TIFF")):
        assert np.abs(decode(encoded(image, kind), mode)[8, 8].astype(int) - (200, 20, 30)).max() <= 12, mode
    half = np.zeros((16, 16), bool)
    half[:, 8:] = True
    for kind in ("PNG", "TIFF", "GIF", "BMP"):
        assert decode(encoded(Image.fromarray(half), kind), kind)[0, [0, -1], 0].tolist() == [0, 255]


def lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    converted = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    assert converted is not None
    return converted


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("orientation", "bright"), [(3, np.s_[:, 8:]), (6, np.s_[:8]), (8, np.s_[8:])])
def test_every_format_is_turned_once(kind: str, orientation: int, bright: object) -> None:
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.zeros_like(pixels)
    expected[bright] = 255
    for stored in (pixels, pixels.astype(np.uint16) * 257) if kind in ("PNG", "TIFF") else (pixels,):
        image = decode(encoded(Image.fromarray(stored), kind, exif=exif), kind)
        assert np.abs(image[..., 0].astype(int) - expected).mean() < 4


def test_the_first_of_several_frames_is_read_and_told(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue", "green")]
    for kind in ("gif", "webp", "tiff", "png"):
        frames[0].save(tmp_path / f"{kind}.{kind}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "one.gif")
    samples = open_data(tmp_path)
    images = torch.stack([samples[index] for index in range(len(samples))])
    assert (images.float().mean((2, 3)) - torch.tensor([255.0, 0, 0])).abs().max() < 8
    told = f"{tmp_path}: 4 files have several frames or pages, of which the first is read, such as gif.gif"
    assert samples.notes == [told] and samples.left_out == []


def test_images_are_turned_by_their_exif_and_lose_alpha(tmp_path: Path) -> None:
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    turned = decode(encode(image, exif=exif), "turned")
    assert turned.shape == (8, 4, 3)
    assert turned[0].mean() == 255 and turned[-1].mean() == 0
    assert decode(encode(np.full((2, 2, 4), 128, np.uint8)), "alpha").shape == (2, 2, 3)
    assert decode(encode(np.full((2, 2), 128, np.uint8)), "grey").shape == (2, 2, 3)
    deep = decode(encode(np.array([[0, 257 * 100, 65535]], dtype=np.uint16)), "16 bits")
    assert deep[0, :, 0].tolist() == [0, 100, 255]


def heic(image: Image.Image, **options: object) -> bytes:
    """Returns a HEIC file's bytes; like a phone's camera, pillow-heif moves a turn of the EXIF into the container."""
    pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    image.save(buffer, "HEIF", quality=-1, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("orientation", "bright"),
    [(1, np.s_[:, :32]), (3, np.s_[:, 32:]), (6, np.s_[:32]), (8, np.s_[32:]), (5, np.s_[:32]), (7, np.s_[32:])],
)
def test_heic_is_turned_once(orientation: int, bright: object) -> None:
    """Its left half is bright as it is stored; both ways of turning it twice are wrong."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(heic(Image.fromarray(pixels), exif=exif.tobytes()), "IMG_0001.HEIC")
    assert upright.shape == ((48, 64, 3) if orientation in (1, 3) else (64, 48, 3))
    expected = np.zeros_like(upright)
    expected[bright] = 255
    assert np.abs(upright.astype(int) - expected).mean() < 2


def test_image_of_too_many_pixels_is_refused_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is our own: Pillow's, which a user may set, warns only."""
    image = encode(np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 16)
    assert decode(image, "a.png").shape == (4, 4, 3)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 15)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: it must have at most 15 pixels, .* 4 x 4"):
        decode(image, "a.png")


def test_large_images_are_decoded_smaller_and_small_ones_as_they_are() -> None:
    """Their shorter side has 32 to 63 pixels, and the picture is that of the whole image."""
    shades = np.linspace(0, 255, 1200).astype(np.uint8)
    wide = np.repeat(np.broadcast_to(shades, (600, 1200))[..., None], 3, 2)
    for kind in ("JPEG", "PNG", "TIFF"):
        pixels = decoding.decode(encode(wide, kind), kind, 32).pixels
        assert 32 <= pixels.shape[0] < 64 and abs(pixels.shape[1] - 2 * pixels.shape[0]) <= 1, kind
        expected = np.interp(np.linspace(0, 1, pixels.shape[1]), np.linspace(0, 1, 1200), shades)
        assert np.abs(pixels[10, :, 0] - expected).max() < 6
        assert decoding.decode(encode(wide[:20, :30], kind), kind, 32).pixels.shape == (20, 30, 3)
    deep = np.repeat((65535 * RAMP).astype(np.uint16), 16, 0)
    assert decoding.decode(encode(deep, "PNG"), "deep", 8).pixels.shape == (128, 8, 3)


def test_a_draft_of_a_photograph_saves_most_of_the_time() -> None:
    """Twelve megapixels; a loose bound, because machines differ."""
    photo = encode(np.random.default_rng(0).integers(0, 255, (3000, 4000, 3), dtype=np.uint8), "JPEG", quality=60)
    taken = []
    for size in (224, None):
        start = time.perf_counter()
        decoding.decode(photo, "photo.jpg", size)
        taken.append(time.perf_counter() - start)
    assert taken[0] < 0.7 * taken[1]
