import pytest
import torch
from pytorch_adapt.layers import MCCLoss

from dmsrl_adapt.losses import OverClassifiers


def test_one_classifier_has_the_loss_itself():
    logits = torch.randn(6, 3)
    assert torch.equal(OverClassifiers(MCCLoss(T=2.5))(logits), MCCLoss(T=2.5)(logits))


def test_several_classifiers_have_the_mean_with_a_gradient_for_each():
    several = [torch.full((2, 3), value, requires_grad=True) for value in (1.0, 2.0, 6.0)]
    loss = OverClassifiers(torch.mean)(several)
    assert loss == 3
    loss.backward()
    assert all(torch.allclose(one.grad, torch.full((2, 3), 1 / 18)) for one in several)


def test_no_classifier_is_an_error():
    with pytest.raises(ValueError, match="at least one classifier, got none"):
        OverClassifiers(torch.mean)([])
