import math

import pytest
import torch

from dmsrl_adapt.losses import MarginDisparityLoss, margin_disparity

from .. import references


def random_case(seed, size=14, num_classes=4):
    torch.manual_seed(seed)
    logits = (3 * torch.randn(size, num_classes)).requires_grad_()
    return logits, torch.randint(num_classes, (size,)), torch.randint(2, (size,))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [1.0, 4.0])
def test_equals_slow_reference_with_gradients(seed, margin):
    logits, classes, domains = random_case(seed)
    loss = margin_disparity(logits, classes, domains, margin)
    loss.backward()
    rows = logits.detach().double().requires_grad_()
    expected = references.margin_disparity(rows, classes.tolist(), domains.tolist(), margin)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits.grad.double(), rows.grad, rtol=1e-4, atol=1e-5)


def test_value_by_hand():
    # probabilities 3/4 and 1/4 of the classifier's class
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]])
    both = torch.tensor([0, 0])
    source = margin_disparity(logits, both, torch.tensor([0, 0]), margin=2.0)
    assert source.item() == pytest.approx(2 * (math.log(4 / 3) + math.log(4)) / 2)
    target = margin_disparity(logits, both, torch.tensor([1, 1]), margin=2.0)
    assert target.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    mixed = margin_disparity(logits, both, torch.tensor([0, 1]), margin=2.0)
    assert mixed.item() == pytest.approx(2 * math.log(4 / 3) + math.log(4 / 3))


def test_head_that_agrees_on_the_source_and_not_on_the_target_has_a_small_loss():
    agreeing = 20 * torch.eye(2)
    classes, domains = torch.tensor([0, 0]), torch.tensor([0, 1])
    assert margin_disparity(agreeing, classes, domains, 4.0) < 1e-6
    assert margin_disparity(agreeing.flip(0), classes, domains, 4.0) > 90


def test_gradcheck():
    logits, classes, domains = random_case(0, size=6)
    rows = logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: margin_disparity(x, classes, domains, 4.0), rows)


def test_gradient_of_features_is_reversed_and_that_of_the_head_is_not():
    torch.manual_seed(0)
    loss_fn = MarginDisparityLoss(4, 3)
    features = torch.randn(6, 3, requires_grad=True)
    classes, domains = torch.arange(6) % 4, torch.arange(6) % 2
    plain = margin_disparity(loss_fn.head(features), classes, domains, 4.0)
    of_plain = torch.autograd.grad(plain, [features, *loss_fn.head.parameters()])
    loss = loss_fn(features, classes, domains, strength=0.1)
    of_loss = torch.autograd.grad(loss, [features, *loss_fn.head.parameters()])
    assert torch.equal(loss, plain)
    torch.testing.assert_close(of_loss[0], -0.1 * of_plain[0])
    for ours, theirs in zip(of_loss[1:], of_plain[1:], strict=True):
        assert torch.equal(ours, theirs)


def test_empty_batch_is_a_zero_with_a_gradient():
    features = torch.zeros(0, 3, requires_grad=True)
    loss_fn = MarginDisparityLoss(2, 3)
    nobody = torch.zeros(0, dtype=torch.long)
    loss = loss_fn(features, nobody, nobody)
    loss.backward()
    assert loss.item() == 0
    assert all(torch.equal(one.grad, torch.zeros_like(one)) for one in (features, *loss_fn.parameters()))


@pytest.mark.parametrize("domain", [0, 1])
def test_one_certain_sample_is_finite_with_a_gradient(domain):
    logits = torch.tensor([[1000.0, -1000.0, 0.0]], requires_grad=True)
    for chosen in range(3):
        loss = margin_disparity(logits, torch.tensor([chosen]), torch.tensor([domain]), 4.0)
        assert loss.isfinite() and torch.autograd.grad(loss, logits)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_features_are_computed_in_float32(dtype):
    features = (300 * torch.randn(6, 3)).to(dtype)
    classes, domains = torch.arange(6) % 4, torch.arange(6) % 2
    loss_fn = MarginDisparityLoss(4, 3)
    expected = loss_fn(features.float(), classes, domains)
    with torch.autocast("cpu", dtype=dtype):
        loss = loss_fn(features, classes, domains)
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"features": torch.zeros(4, 2)}, ValueError, r"features must have shape \(N, 3\), got \(4, 2\)"),
        ({"features": torch.full((4, 3), torch.nan)}, ValueError, "finite, got 12 NaN or infinite values of 12"),
        ({"classes": torch.tensor([0, 1, 2, 5])}, ValueError, r"classes must be in 0..4, got values from 0 to 5"),
        ({"classes": torch.zeros(4)}, TypeError, "classes must be an integer tensor, got torch.float32"),
        ({"domains": torch.tensor([0, 1, 2, 0])}, ValueError, r"domains must be in 0..1, got values from 0 to 2"),
        ({"strength": -1.0}, ValueError, "strength must be finite and at least 0, got -1.0"),
    ],
)
def test_bad_input_says_what_was_wanted_and_what_came(changed, error, message):
    good = {"features": torch.zeros(4, 3), "classes": torch.zeros(4).long(), "domains": torch.zeros(4).long()}
    with pytest.raises(error, match=message):
        MarginDisparityLoss(5, 3)(**{**good, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_classes": 1}, "num_classes must be finite and at least 2, got 1"),
        ({"feature_dim": 0}, "feature_dim must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"margin": 0.0}, "margin must be finite and above 0, got 0.0"),
    ],
)
def test_bad_constants_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        MarginDisparityLoss(**{"num_classes": 2, "feature_dim": 2, **changed})
