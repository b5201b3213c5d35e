"""Photographs of two classes as phones, scanners and programs make them, and a model that was trained on them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmsrl_adapt.cli import main

TURNED = {1: 0, 3: 2, 6: 1, 8: 3}  # quarters against the clock by which a phone stores what its EXIF turns back
SMALL = ("--model", "test_resnet", "--weights", "random", "--size", "24", "--workers", "0", "--batch-size", "16")


def photo(label: str, size: tuple[int, int], orientation: int = 1) -> Image.Image:
    """A grey photograph, bright in its upper half for "sky", in its left half for "wall", as it is stored."""
    width, height = size
    pixels = np.random.RandomState(width + height).randint(20, 90, (height, width, 3)).astype(np.uint8)
    pixels[(slice(height // 2), slice(None)) if label == "sky" else (slice(None), slice(width // 2))] += 150
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, TURNED[orientation])))


def save_photos(folder: Path, label: str, number: int) -> None:
    """Writes photographs, `number` rounds of six, and a text file."""
    folder.mkdir(parents=True, exist_ok=True)
    for turn in range(number):
        side = 40 + turn
        for orientation in (3, 6, 8):
            exif = Image.Exif()
            exif[0x0112] = orientation
            photo(label, (side + 13, side), orientation).save(folder / f"IMG_{turn}{orientation}.JPG", exif=exif)
        with_alpha = photo(label, (side, side)).convert("RGBA")
        with_alpha.putalpha(200)
        with_alpha.save(folder / f"cut out {turn}.png")
        photo(label, (side + 5, side)).convert("L").save(folder / f"grey_{turn}.jpeg")
        photo(label, (side, side + 5)).convert("P").save(folder / f"palette_{turn}.gif")
    (folder / "notes.txt").write_text("not an image")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `lab`, with labels, `field`, without, and `third`, whose files name their class."""
    root = tmp_path_factory.mktemp("photos")
    for label in ("sky", "wall"):
        save_photos(root / "lab" / label, label, 4)
        save_photos(root / "third" / "holiday" / label, label, 1)
        for number, file in enumerate(sorted((root / "lab" / label).glob("*.*"))):
            (root / "field").mkdir(exist_ok=True)
            (root / "field" / f"{label}{number}{file.suffix}").write_bytes(file.read_bytes())
    photo("wall", (4000, 3000)).save(root / "third" / "wall large.jpg")  # 12 megapixels
    return root


def command(photos: Path, out: Path, *others: str) -> list[str]:
    """The command that trains on lab and field."""
    sides = ["train", "--source", str(photos / "lab"), "--target", str(photos / "field"), "--out", str(out)]
    return [*sides, *SMALL, *others]


@pytest.fixture(scope="session")
def trained(photos: Path) -> Path:
    """The folder that `train` writes of lab and field."""
    out = photos / "new" / "run"
    assert main(command(photos, out, "--steps", "60", "--lr", "0.003")) == 0
    return out
