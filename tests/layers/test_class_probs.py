import math

import pytest
import torch

from dmsrl_adapt.layers import class_probs


def test_softmax_by_hand():
    probs = class_probs(torch.tensor([[0.0, math.log(3)]]))
    torch.testing.assert_close(probs, torch.tensor([[0.25, 0.75]]))


def test_several_classifiers_are_averaged_after_the_softmax():
    first, second = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[math.log(9), 0.0]])
    probs = class_probs([first, second])
    torch.testing.assert_close(probs, torch.tensor([[(0.25 + 0.9) / 2, (0.75 + 0.1) / 2]]))
    assert torch.equal(class_probs((first, second)), probs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_float32_without_a_gradient(dtype):
    probs = class_probs(torch.randn(3, 4).to(dtype).requires_grad_())
    assert probs.dtype == torch.float32
    assert not probs.requires_grad
    torch.testing.assert_close(probs.sum(1), torch.ones(3))


def test_empty_batch():
    assert class_probs(torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize(("logits", "came"), [(torch.zeros(4), r"\[\(4,\)\]"), ([], r"\[\]")])
def test_bad_logits(logits, came):
    with pytest.raises(ValueError, match=rf"logits must have shape \(N, K\), got {came}"):
        class_probs(logits)
