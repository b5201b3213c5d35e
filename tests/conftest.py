"""What every test shares: the same random numbers in every run, and one thread."""

import pytest
import torch

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
