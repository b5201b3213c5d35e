import pytest
import torch

from dmsrl_adapt.one_hot import members, sums_by_label


def test_a_label_out_of_range_has_no_class():
    assert members(torch.tensor([2, -1, 3, 0]), 3).t().int().tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("size", [0, 1, 20])
def test_sums_equal_a_loop(size):
    rows, labels = torch.randn(size, 3), torch.randint(-1, 4, (size,))
    expected = torch.zeros(4, 3)
    for row, label in zip(rows, labels.tolist(), strict=True):
        if label >= 0:
            expected[label] += row
    torch.testing.assert_close(sums_by_label(rows, labels, 4), expected)


def test_sums_under_autocast_are_those_without():
    rows, labels = torch.randn(9, 3), torch.arange(9) % 2
    with torch.autocast("cpu", torch.bfloat16):
        under = sums_by_label(rows, labels, 2)
    assert torch.equal(under, sums_by_label(rows, labels, 2))
