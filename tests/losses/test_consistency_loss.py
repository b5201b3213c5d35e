import math

import pytest
import torch

from dmsrl_adapt.losses import consistency_loss


def slow_loss(logits, probs):
    """Sample by sample, class by class, in plain Python."""
    total = 0.0
    for z, q in zip(logits.tolist(), probs.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(one) for one in z))
        total += max(q) * sum(-one * (value - log_sum) for one, value in zip(q, z, strict=True))
    return total / len(logits)


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_slow_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    logits, probs = torch.randn(7, 4, generator=generator), torch.randn(7, 4, generator=generator).softmax(1)
    assert consistency_loss(logits, probs).item() == pytest.approx(slow_loss(logits, probs), rel=1e-5)


def test_value_by_hand():
    """A certain sample counts in full, log 2; one of which nothing is known by half, log(2) / 2."""
    probs = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert consistency_loss(torch.zeros(2, 2), probs).item() == pytest.approx(0.75 * math.log(2))


def test_several_classifiers_count_the_same():
    one, two, probs = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4).softmax(1)
    mean = (consistency_loss(one, probs) + consistency_loss(two, probs)) / 2
    torch.testing.assert_close(consistency_loss([one, two], probs), mean)


def test_gradient_reaches_the_second_view_alone():
    logits, probs = torch.randn(3, 4, requires_grad=True), torch.full((3, 4), 0.25, requires_grad=True)
    consistency_loss(logits, probs).backward()
    assert logits.grad.abs().sum() > 0
    assert probs.grad is None
    double = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    consistency_loss(double, probs).backward()
    expected = 0.25 * (double.detach().softmax(1) - 0.25) / 3
    torch.testing.assert_close(double.grad, expected, rtol=1e-5, atol=1e-7)


def test_empty_batch_is_zero_with_a_gradient():
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = consistency_loss(logits, torch.zeros(0, 4))
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_computed_in_float32(dtype):
    logits, probs = 200 * torch.randn(5, 3), torch.randn(5, 3).softmax(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = consistency_loss(logits.to(dtype), probs)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, consistency_loss(logits.to(dtype).float(), probs))


@pytest.mark.parametrize(
    ("logits", "probs", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), r"must have the same shape \(N, K\), got \[\(2, 3\)\] and \(2, 4\)"),
        (torch.zeros(2), torch.zeros(2), r"must have the same shape \(N, K\), got \[\(2,\)\] and \(2,\)"),
        ([], torch.zeros(2, 3), r"must have the same shape \(N, K\), got \[\] and \(2, 3\)"),
        ([torch.zeros(2, 3), torch.zeros(1, 3)], torch.zeros(2, 3), r"got \[\(2, 3\), \(1, 3\)\] and \(2, 3\)"),
        (torch.zeros(1, 2), torch.tensor([[2.0, -1.0]]), r"class_probs must be in 0\.\.1\.001, got values from -1"),
    ],
)
def test_bad_input_is_refused(logits, probs, message):
    with pytest.raises(ValueError, match=message):
        consistency_loss(logits, probs)
