"""What every test shares: the same random numbers in every run, and one thread."""

import pytest
import torch

# tensors here are tiny; more threads than free cores make every step wait for the slowest
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
