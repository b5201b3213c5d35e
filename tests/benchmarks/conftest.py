"""Small data in the formats that the benchmarks read, and the folder of real data where there is one."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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
