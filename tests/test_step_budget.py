"""A step costs no more than it did: waits of a GPU for the host, and operations, counted on the CPU."""

import pytest

from .step_counts import CASES, OURS, counted, counts_of, host_of, make_batch

# at most so many waits of ours, and operations
LIMITS = {
    "default": (69, 1235),
    "published": (17, 512),
    "two branches": (62, 1443),
    "landmarks": (79, 1431),
    "several sources": (79, 1272),
    "attached to DANN": (70, 1398),
    "attached to MCD": (70, 2075),
    "attached to CDAN": (70, 1546),
}


@pytest.mark.parametrize("case", CASES)
def test_waits_and_operations_of_a_step(case):
    counter = counts_of(case)
    waits, operations = LIMITS[case]
    assert counter.waits_of(OURS) <= waits, counter.waits
    assert counter.operations.total() <= operations


@pytest.mark.parametrize("host", ["DANN", "MCD", "CDAN"])
def test_hosts_alone_have_no_waits_of_ours(host):
    counter = counted(host_of(host), make_batch())
    assert counter.waits_of(OURS) == 0 < counter.waits_of("pytorch_adapt")
