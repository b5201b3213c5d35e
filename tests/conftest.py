"""What every test shares: the same random numbers in every run, one thread, and small data as users have it."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from .scripts import Forks

# tensors here are tiny; more threads than free cores make every step wait for the slowest
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def forks():
    """Runs Python without its imports, which take longer than most of what is run."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def pixels() -> np.ndarray:
    """Images of two classes, dark and bright, uint8 (24, 12, 12, 3)."""
    rng = np.random.RandomState(0)
    base = np.repeat([40, 200], 12)[:, None, None, None]
    return (base + rng.randint(-30, 30, (24, 12, 12, 3))).astype(np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return np.repeat([0, 1], 12)


@pytest.fixture
def class_folders(tmp_path: Path, pixels: np.ndarray, labels: np.ndarray) -> Path:
    """A folder of class folders "bright" and "dark", with a stray text file."""
    root = tmp_path / "photos"
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / ("dark", "bright")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    (root / "dark" / "notes.txt").write_text("not an image")
    return root


@pytest.fixture
def flat_folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """A folder "field" with the images right in it."""
    root = tmp_path / "field"
    root.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(root / f"{number}.png")
    return root


@pytest.fixture
def feature_npz(tmp_path: Path, labels: np.ndarray) -> Path:
    path = tmp_path / "vectors.npz"
    rows = np.random.RandomState(1).randn(24, 5) + labels[:, None]
    np.savez(path, X=rows, y=labels)
    return path


def encode(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """Returns an image file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()
