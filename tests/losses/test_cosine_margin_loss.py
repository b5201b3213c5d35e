import math

import pytest
import torch

from dmsrl_adapt.losses import CosineMarginLoss, cosine_margin_logits

from .. import references


def random_case(seed, size=14, num_classes=4, dim=3):
    torch.manual_seed(seed)
    features = torch.randn(size, dim, requires_grad=True)
    labels = torch.randint(-1, num_classes, (size,))
    return features, labels, torch.randint(2, (size,)), torch.rand(size) * (torch.rand(size) > 0.2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("scale", "margin"), [(8.0, 0.2), (1.0, 0.0), (30.0, 0.5)])
@pytest.mark.parametrize("weighted", [True, False])
def test_equals_slow_reference_with_gradients(seed, scale, margin, weighted):
    features, labels, domains, weights = random_case(seed)
    loss_fn = CosineMarginLoss(4, 3, scale=scale, margin=margin)
    # rows of other lengths than 1: only their directions count
    with torch.no_grad():
        loss_fn.prototypes.mul_(torch.tensor([[0.5], [1.0], [2.0], [3.0]]))
    weights = weights if weighted else torch.ones_like(weights)
    loss = loss_fn(features, labels, domains, weights if weighted else None)
    loss.backward()
    rows, prototypes = (x.detach().double().requires_grad_() for x in (features, loss_fn.prototypes))
    lists = labels.tolist(), domains.tolist(), weights.tolist()
    expected = references.cosine_margin_loss(rows, *lists, prototypes, scale, margin)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features.grad.double(), rows.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss_fn.prototypes.grad.double(), prototypes.grad, rtol=1e-4, atol=1e-5)


def test_without_domains_all_samples_are_of_one():
    features, labels, _, weights = random_case(0)
    loss_fn = CosineMarginLoss(4, 3)
    one = loss_fn(features, labels, torch.zeros_like(labels), weights)
    assert torch.equal(loss_fn(features, labels, weights=weights), one)


def test_value_by_hand():
    loss_fn = CosineMarginLoss(2, 2, scale=2.0, margin=0.5)
    with torch.no_grad():
        loss_fn.prototypes.copy_(torch.eye(2))
    # cosines 1 and 0; the own class's is lowered by 0.5: logits 1 and 0
    right = math.log(1 + math.exp(-1))
    assert loss_fn(torch.tensor([[3.0, 0.0]]), torch.tensor([0])).item() == pytest.approx(right)
    # cosines 0 and 1: logits -1 and 2
    wrong = math.log(1 + math.exp(3))
    assert loss_fn(torch.tensor([[0.0, 3.0]]), torch.tensor([0])).item() == pytest.approx(wrong)
    # a domain of two with one rejected, a domain of one trusted by half
    features, labels = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 3.0]]), torch.tensor([0, -1, 0])
    domains, weights = torch.tensor([0, 0, 1]), torch.tensor([1.0, 1.0, 0.5])
    assert loss_fn(features, labels, domains, weights).item() == pytest.approx(right / 2 + wrong / 2)


def test_scale_of_features_does_not_count():
    features, labels, domains, weights = random_case(0)
    loss_fn = CosineMarginLoss(4, 3)
    loss = loss_fn(features, labels, domains, weights)
    torch.testing.assert_close(loss_fn(1000 * features, labels, domains, weights), loss)


def test_prototypes_start_on_the_unit_sphere():
    torch.testing.assert_close(CosineMarginLoss(6, 4).prototypes.norm(dim=1), torch.ones(6))


def test_gradcheck():
    features, prototypes = torch.randn(5, 3), torch.randn(4, 3)
    inputs = tuple(x.double().requires_grad_() for x in (features, prototypes))
    labels = torch.tensor([0, 3, 2, 2, 1])
    assert torch.autograd.gradcheck(lambda f, p: cosine_margin_logits(f, p, labels, 8.0, 0.2), inputs)


def test_no_valid_sample_is_a_zero_with_a_gradient():
    loss_fn = CosineMarginLoss(3, 2)
    for size in (0, 1, 4):
        features = torch.randn(size, 2, requires_grad=True)
        loss = loss_fn(features, torch.full((size,), -1))
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(features.grad, torch.zeros(size, 2))
        assert torch.equal(loss_fn.prototypes.grad, torch.zeros(3, 2))


def test_one_sample_zero_rows_and_missing_classes_are_finite():
    loss_fn = CosineMarginLoss(3, 2, margin=0.0)
    features = torch.zeros(1, 2, requires_grad=True)
    loss = loss_fn(features, torch.tensor([1]))
    loss.backward()
    # a zero row has cosine 0 with every prototype
    assert loss.item() == pytest.approx(math.log(3))
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(loss_fn.prototypes.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_features_are_computed_in_float32(dtype):
    features, labels, domains, weights = random_case(0)
    # norms beyond the largest float16, 65504
    features = (30000 * features.detach().sign()).to(dtype).requires_grad_()
    loss_fn = CosineMarginLoss(4, 3)
    expected = loss_fn(features.detach().float(), labels, domains, weights)
    with torch.autocast("cpu", dtype=dtype):
        loss = loss_fn(features, labels, domains, weights)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    loss.backward()
    assert torch.isfinite(features.grad).all()


BAD = [
    ({"features": torch.zeros(4, 2)}, ValueError, r"features must have shape \(N, 3\), got \(4, 2\)"),
    ({"features": torch.zeros(4, 3).long()}, TypeError, "features must be a floating point tensor, got torch.int64"),
    ({"features": torch.full((4, 3), torch.inf)}, ValueError, "finite, got 12 NaN or infinite values of 12"),
    ({"labels": torch.zeros(4, 1).long()}, ValueError, r"labels must have shape \(4,\), got \(4, 1\)"),
    ({"labels": torch.tensor([0, 1, 2, 5])}, ValueError, r"labels must be in -1..4, got values from 0 to 5"),
    ({"labels": torch.zeros(4)}, TypeError, "labels must be an integer tensor, got torch.float32"),
    ({"domains": torch.tensor([0, 1, -1, 0])}, ValueError, r"domains must be in 0.."),
    ({"domains": torch.zeros(3).long()}, ValueError, r"domains must have shape \(4,\), got \(3,\)"),
    ({"weights": torch.tensor([0.0, 1.0, -0.5, 0.0])}, ValueError, r"weights must be in 0..1, got values from -0.5"),
    ({"weights": torch.zeros(4).long()}, TypeError, "weights must be a floating point tensor, got torch.int64"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD)
def test_bad_input_says_what_was_wanted_and_what_came(changed, error, message):
    good = {"features": torch.zeros(4, 3), "labels": torch.zeros(4).long()}
    with pytest.raises(error, match=message):
        CosineMarginLoss(5, 3)(**{**good, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"feature_dim": 0}, "feature_dim must be at least 1, got 0"),
        ({"scale": 0.0}, "scale must be positive .* got scale 0.0"),
        ({"margin": 2.5}, "margin in 0..2, got .* margin 2.5"),
        ({"margin": -0.1}, "margin in 0..2, got .* margin -0.1"),
    ],
)
def test_bad_constants_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        CosineMarginLoss(**{"num_classes": 2, "feature_dim": 2, **changed})


def test_int32_labels_and_domains_give_the_same():
    features, labels, domains, weights = random_case(1)
    loss_fn = CosineMarginLoss(4, 3)
    same = loss_fn(features, labels.int(), domains.int(), weights)
    assert torch.equal(same, loss_fn(features, labels, domains, weights))


BAD_LOGITS = [
    ({"features": torch.zeros(4)}, ValueError, r"features must have shape \(N, D\), got \(4,\)"),
    ({"features": torch.zeros(4, 3).long()}, TypeError, "features must be a floating point tensor"),
    ({"prototypes": torch.zeros(2, 4)}, ValueError, r"prototypes must have shape \(K, 3\), got \(2, 4\)"),
    ({"labels": torch.tensor([0, 1, -1, 0])}, ValueError, r"labels must be in 0..1, got values from -1 to 1"),
    ({"labels": torch.zeros(4)}, TypeError, "labels must be an integer tensor"),
    ({"scale": 0.0}, ValueError, "scale must be positive"),
    ({"margin": 2.1}, ValueError, "margin in 0..2, got scale 8.0 and margin 2.1"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD_LOGITS)
def test_bad_input_of_the_logits(changed, error, message):
    good = {"features": torch.zeros(4, 3), "prototypes": torch.zeros(2, 3), "labels": torch.zeros(4).long()}
    with pytest.raises(error, match=message):
        cosine_margin_logits(**{**good, "scale": 8.0, "margin": 0.2, **changed})
