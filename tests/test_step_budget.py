"""A step of ours adds no wait of a GPU for the host, and few operations; both are counted on the CPU."""

import pytest

from .step_counts import CASES, OURS, UPSTREAM, counted, counts_of, host_of, make_batch

WAITS = 2  # one to check the batch, and one to read the losses, for which upstream waits once each
# at most so many operations; hosts alone: DANN 350, CDAN 510, MCD 881
OPERATIONS = {
    "default": 978,
    "published": 410,
    "two branches": 1121,
    "landmarks": 1094,
    "several sources": 989,
    "attached to DANN": 1143,
    "attached to MCD": 1827,
    "attached to CDAN": 1291,
}


@pytest.mark.parametrize("case", CASES)
def test_waits_and_operations_of_a_step(case):
    counter = counts_of(case)
    assert counter.waits_of(OURS) <= WAITS, counter.waits
    assert counter.operations.total() <= OPERATIONS[case]
    if case.startswith("attached to "):
        alone = counted(host_of(case.removeprefix("attached to ")), make_batch())
        assert alone.waits_of(OURS) == 0
        # the losses of the host's step are read with ours
        assert counter.waits_of(OURS) + counter.waits_of(UPSTREAM) < alone.waits_of(UPSTREAM)
