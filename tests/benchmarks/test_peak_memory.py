"""The peak of memory that a run needs."""

import numpy as np
import pytest
import torch

from benchmarks.peak_memory import peak_memory, start_peak_memory

CPU, MIB = torch.device("cpu"), 200


def test_peak_is_in_mib_and_of_the_time_since_the_start() -> None:
    start_peak_memory(CPU)
    before = peak_memory(CPU)
    if before is None:
        pytest.skip("this system does not tell")
    kept = np.ones(MIB * 2**20, dtype=np.uint8)
    after = peak_memory(CPU)
    assert after is not None and 0.9 * MIB < after - before < 1.3 * MIB
    del kept
    assert peak_memory(CPU) == pytest.approx(after, abs=0.1 * MIB)
    start_peak_memory(CPU)
    assert peak_memory(CPU) == pytest.approx(before, abs=0.3 * MIB)
