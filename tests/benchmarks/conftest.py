"""Small data in the formats that the benchmarks read, and the folder of real data where there is one."""

import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.tasks import Split, Task, digits


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data sets; the test is skipped without one."""
    folder = os.environ.get("DMSRL_ADAPT_DATA")
    if not folder:
        pytest.skip("DMSRL_ADAPT_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="module")
def digits_read_once() -> Iterator[None]:
    """Keeps the images of a file of digits, up to 60,000, for the tasks that are made of it after the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "read_domain", functools.cache(digits.read_domain))
        yield


@pytest.fixture(scope="session")
def vectors() -> Task:
    """A small task of three classes on feature vectors, whose target is shifted."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3

    def domain(shift: float) -> Split:
        return Split(torch.randn(60, 6, generator=generator) + 3 * torch.eye(3, 6)[labels] + shift, labels)

    return Task("vectors", ("a", "b", "c"), domain(0.0), *(domain(1.0) for _ in range(3)))


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
