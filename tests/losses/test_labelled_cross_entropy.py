import math

import pytest
import torch

from dmsrl_adapt.losses import labelled_cross_entropy

from .. import references


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equals_the_slow_reference_over_the_rows_with_a_label(seed, smoothing):
    torch.manual_seed(seed)
    logits, labels = 3 * torch.randn(9, 4), torch.randint(-1, 4, (9,))
    has_label = labels >= 0
    expected = references.smoothed_cross_entropy(logits[has_label], labels[has_label].tolist(), smoothing)
    torch.testing.assert_close(labelled_cross_entropy(logits, labels, smoothing), expected)


def test_value_by_hand():
    """Two rows count: log 2 of one that is undecided, and 5 nats of one that is wrong by 5."""
    logits = torch.tensor([[0.0, 0.0], [100.0, 0.0], [5.0, 0.0]])
    expected = (math.log(2) + 5 + math.log1p(math.exp(-5))) / 2
    assert labelled_cross_entropy(logits, torch.tensor([1, -1, 1])).item() == pytest.approx(expected)


def test_gradient_reaches_rows_with_a_label_alone():
    logits, labels = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.tensor([2, -1, 0])
    labelled_cross_entropy(logits, labels).backward()
    expected = logits.detach().softmax(1) - torch.nn.functional.one_hot(labels.clamp(min=0), 4)
    expected[1] = 0
    torch.testing.assert_close(logits.grad, expected / 2, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("labels", [[], [-1, -1]])
def test_no_label_is_a_zero_with_a_gradient(labels):
    logits = torch.randn(len(labels), 3, requires_grad=True)
    loss = labelled_cross_entropy(logits, torch.tensor(labels, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = torch.randn(4, 3).to(dtype), torch.tensor([0, -1, 2, 1])
    loss = labelled_cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, labelled_cross_entropy(logits.float(), labels))


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (torch.zeros(2), torch.zeros(2).long(), ValueError, r"logits must have shape \(N, K\), got \(2,\)"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), ValueError, r"labels must be in -1\.\.2, got values from 0 to 3"),
        (torch.zeros(2, 3), torch.zeros(2), TypeError, "labels must be an integer tensor, got torch.float32"),
    ],
)
def test_bad_input_says_what_was_wanted_and_what_came(logits, labels, error, message):
    with pytest.raises(error, match=message):
        labelled_cross_entropy(logits, labels)
