import math

import pytest
import torch

from dmsrl_adapt.losses import certainty, class_probs, known_classes
from dmsrl_adapt.losses.class_probs import with_known_classes

from .. import references


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


def test_empty_batch_has_no_probabilities():
    assert class_probs(torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize(("logits", "came"), [(torch.zeros(4), r"\[\(4,\)\]"), ([], r"\[\]")])
def test_bad_logits_are_refused(logits, came):
    with pytest.raises(ValueError, match=rf"logits must have shape \(N, K\), got {came}"):
        class_probs(logits)


def test_certainty_equals_a_slow_loop():
    probs = torch.randn(20, 7).mul(3).softmax(1)
    torch.testing.assert_close(certainty(probs), references.certainty(probs))


@pytest.mark.parametrize("shape", [(0, 3), (4, 1)])
def test_no_sample_and_one_class_are_certain(shape):
    assert torch.equal(certainty(torch.ones(shape)[:, :1]), torch.ones(shape[0]))


def test_rounding_never_leaves_the_range():
    probs = torch.full((3, 1000), 1 / 1000)
    assert (certainty(probs) >= 0).all()


def test_certainty_by_hand():
    probs = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    torch.testing.assert_close(certainty(probs), torch.tensor([1.0, 0.0, 0.5]))
    assert certainty(torch.ones(2, 1)).tolist() == [1, 1]


def test_uncertain_samples_are_unknown():
    probs = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0], [0, 0.1, 0, 0.9]])
    assert known_classes(probs, 0.0).tolist() == [0, 0, 1, 3]
    assert known_classes(probs, 0.4).tolist() == [0, -1, 1, 3]
    assert known_classes(probs, 0.7).tolist() == [0, -1, -1, 3]
    assert known_classes(probs, 1.0).tolist() == [0, -1, -1, -1]
    assert known_classes(torch.zeros(0, 4), 0.5).shape == (0,)


@pytest.mark.parametrize(("probs", "least"), [(torch.zeros(3), 0.5), (torch.ones(1, 2) / 2, 1.5)])
def test_known_classes_of_bad_input_are_refused(probs, least):
    with pytest.raises(ValueError, match="must"):
        known_classes(probs, least)


def test_known_classes_are_certain_and_others_stay():
    probs = torch.tensor([[0.4, 0.6], [0.3, 0.7], [0.0, 0.0]])
    assert with_known_classes(probs, torch.tensor([-1, 0, 1])).tolist() == [probs[0].tolist(), [1.0, 0.0], [0.0, 1.0]]
    assert with_known_classes(probs[:0], torch.zeros(0).long()).shape == (0, 2)
