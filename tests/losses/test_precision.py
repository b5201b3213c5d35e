"""Logs, exponentials and distances are in float32 inside, whatever the features are and under autocast."""

import pytest
import torch

from dmsrl_adapt.labelers import PrototypeLabeler
from dmsrl_adapt.losses import (
    AdversarialMILoss,
    CLUBLoss,
    CosineMarginLoss,
    DomainBranch,
    MarginDisparityLoss,
    MarginMetricLoss,
    MinimumClassConfusionLoss,
    class_probs,
    consistency_loss,
)

K, D, N = 3, 4, 12
LABELS, DOMAINS = torch.arange(N) % K, torch.arange(N) // (N // 2)
PROBS = torch.eye(K)[LABELS]


def labelled(features):
    labeler = PrototypeLabeler(K, D, N, metric="l2")
    labeler.update(features, LABELS)
    return labeler(features).distances.mean()


LOSSES = {
    "cosine": lambda features: CosineMarginLoss(K, D)(features, LABELS, DOMAINS),
    "centers": lambda features: MarginMetricLoss(K, D)(features, LABELS, DOMAINS),
    "disparity": lambda features: MarginDisparityLoss(K, D)(features, LABELS, DOMAINS),
    "mi": lambda features: AdversarialMILoss(D)(features, DOMAINS),
    "mi of classes": lambda features: AdversarialMILoss(D, K)(features, DOMAINS, PROBS),
    "club": lambda features: CLUBLoss(D, D)(features, features.flip(0)).bound,
    "branch": lambda features: DomainBranch(D)(features, DOMAINS).loss,
    "confusion": lambda features: MinimumClassConfusionLoss()(features[:, :K]),
    "consistency": lambda features: consistency_loss(features[:, :K], PROBS),
    "probs": lambda features: class_probs(features[:, :K]).amax(1).mean(),
    "labeler": labelled,
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_value_and_gradient_are_those_of_float32(loss, dtype):
    # the square of 300 is beyond float16, and so are sums of a few such squares
    features = (300 * torch.randn(N, D)).to(dtype)
    results = []
    for one in (features, features.float()):
        torch.manual_seed(0)
        one = one.clone().requires_grad_()
        with torch.autocast("cpu", dtype=dtype, enabled=one.dtype == dtype):
            result = loss(one)
        assert result.dtype == torch.float32
        assert result.isfinite()
        if result.requires_grad:
            (grad,) = torch.autograd.grad(result, one, allow_unused=True)  # the branch hands none on
            assert grad is None or grad.isfinite().all()
        results.append(result.detach())
    assert torch.equal(*results)
