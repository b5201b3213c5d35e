import itertools

import pytest
import torch

from dmsrl_adapt.losses import MarginMetricLoss, center_gap, center_pull, center_spread

from .. import references

DTYPES = [torch.bfloat16, torch.float16]


def random_case(seed, size=14, num_classes=4, dim=3, num_domains=2):
    """Features, labels with some -1, domains, weights with some 0."""
    torch.manual_seed(seed)
    features = torch.randn(size, dim, requires_grad=True)
    labels = torch.randint(-1, num_classes, (size,))
    domains = torch.randint(num_domains, (size,))
    weights = torch.rand(size) * (torch.rand(size) > 0.2)
    return features, labels, domains, weights


def slow(loss_fn, features, labels, domains, weights):
    """The slow reference in float64 and its gradients on features and centres."""
    rows = features.detach().double().requires_grad_()
    centers = loss_fn.centers.detach().double().requires_grad_()
    lists = labels.tolist(), domains.tolist(), weights.tolist()
    loss = references.margin_metric_loss(rows, *lists, centers, loss_fn.margin, loss_fn.gap_weight)
    loss.backward()
    return loss, torch.zeros_like(rows) if rows.grad is None else rows.grad, centers.grad


# margins below, within and above the spread of the random centres, so that the hinge is open, mixed and shut
@pytest.mark.parametrize(("seed", "margin"), list(itertools.product(range(4), [0.1, 3.0, 100.0])))
@pytest.mark.parametrize("weighted", [True, False])
def test_equals_slow_reference_with_gradients(seed, margin, weighted):
    features, labels, domains, weights = random_case(seed)
    loss_fn = MarginMetricLoss(4, 3, margin=margin)
    weights = weights if weighted else torch.ones_like(weights)
    loss = loss_fn(features, labels, domains, weights if weighted else None)
    loss.backward()
    expected, features_grad, centers_grad = slow(loss_fn, features, labels, domains, weights)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features.grad.double(), features_grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss_fn.centers.grad.double(), centers_grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_domains", [1, 3])
def test_equals_slow_reference_for_other_numbers_of_domains(num_domains):
    features, labels, domains, weights = random_case(5, num_domains=num_domains)
    loss_fn = MarginMetricLoss(4, 3, num_domains=num_domains, margin=5.0, gap_weight=0.7)
    expected, _, _ = slow(loss_fn, features, labels, domains, weights)
    torch.testing.assert_close(loss_fn(features, labels, domains, weights).double(), expected, rtol=1e-5, atol=1e-5)


def hand_made(margin=5.0):
    loss_fn = MarginMetricLoss(2, 2, margin=margin)
    with torch.no_grad():
        loss_fn.centers.copy_(torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [2.0, 1.0]]]))
    return loss_fn


def test_value_by_hand():
    features = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 4.0]])
    labels, domains = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    # pull: 1/2 for the source, (1 + 9) / 2 / 2 for the target; spread: 5 - 4 / 2 for each; gap: 0.01 times 1
    assert hand_made()(features, labels, domains).item() == pytest.approx(0.5 + 2.5 + 2 * 3 + 0.01)
    # one target sample rejected, the other trusted by half
    labels, weights = torch.tensor([0, -1, 1]), torch.tensor([1.0, 1.0, 0.5])
    assert hand_made()(features, labels, domains, weights).item() == pytest.approx(0.5 + 9 / 8 + 6 + 0.01)


def test_margin_beyond_reach_adds_nothing_to_wide_centers():
    far = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    assert center_spread(far, margin=50.0).item() == 0
    assert center_spread(far, margin=51.0).item() == pytest.approx(1)


def test_published_constants_are_the_defaults():
    loss_fn = MarginMetricLoss(7, 5)
    assert (loss_fn.margin, loss_fn.gap_weight, loss_fn.centers.shape) == (100.0, 0.01, (2, 7, 5))


def test_gradcheck():
    features, centers = (torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    labels = torch.tensor([0, 4, 2, 2, 1])
    assert torch.autograd.gradcheck(lambda f, c: center_pull(f, c, labels), (features, centers))
    assert torch.autograd.gradcheck(lambda c: center_spread(c, margin=100.0), (centers,))
    assert torch.autograd.gradcheck(center_gap, (features, centers))


def test_no_valid_sample_is_a_zero_with_a_gradient():
    loss_fn = MarginMetricLoss(3, 2, margin=0.0, gap_weight=0.0)
    for size in (0, 1, 4):
        features = torch.randn(size, 2, requires_grad=True)
        loss = loss_fn(features, torch.full((size,), -1), torch.zeros(size, dtype=torch.long))
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(features.grad, torch.zeros(size, 2))
        assert torch.isfinite(loss_fn.centers.grad).all()


def test_terms_on_centers_remain_without_a_valid_sample():
    features = torch.randn(4, 2)
    loss = hand_made()(features, torch.full((4,), -1), torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(6.01)
    assert hand_made()(features[:0], torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)) == loss


def test_one_sample_and_missing_classes_are_finite():
    loss_fn = MarginMetricLoss(3, 2, margin=0.0, gap_weight=0.0)
    features = torch.randn(1, 2, requires_grad=True)
    loss_fn(features, torch.tensor([1]), torch.tensor([1])).backward()
    torch.testing.assert_close(features.grad, features.detach() - loss_fn.centers.detach()[1, 1:2])
    moved = loss_fn.centers.grad.abs().sum(2) > 0
    assert moved.tolist() == [[False, False, False], [False, True, False]]


def test_one_class_has_no_pairs():
    loss_fn = MarginMetricLoss(1, 2, margin=4.0, gap_weight=0.0)
    loss = loss_fn(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    assert loss.item() == 8


@pytest.mark.parametrize("dtype", DTYPES)
def test_autocast_and_half_features_are_computed_in_float32(dtype):
    features, labels, domains, weights = random_case(0)
    # squared distances beyond the largest float16, 65504
    features = (1000 * features.detach()).to(dtype).requires_grad_()
    loss_fn = MarginMetricLoss(4, 3)
    expected = loss_fn(features.detach().float(), labels, domains, weights)
    with torch.autocast("cpu", dtype=dtype):
        loss = loss_fn(features, labels, domains, weights)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    loss.backward()
    assert torch.isfinite(features.grad).all()


BAD = [
    ({"features": torch.zeros(4, 2)}, ValueError, r"features must have shape \(N, 3\), got \(4, 2\)"),
    ({"features": torch.zeros(4)}, ValueError, r"features must have shape \(N, 3\), got \(4,\)"),
    ({"features": torch.zeros(4, 3).long()}, TypeError, "features must be a floating point tensor, got torch.int64"),
    ({"features": [[0.0]]}, TypeError, "features must be a floating point tensor, got list"),
    ({"features": torch.full((4, 3), torch.nan)}, ValueError, "finite, got 12 NaN or infinite values of 12"),
    ({"features": torch.eye(3).mul(torch.inf)}, ValueError, "features must be finite, got 9 NaN"),
    ({"labels": torch.zeros(4, 1).long()}, ValueError, r"labels must have shape \(4,\), got \(4, 1\)"),
    ({"labels": torch.tensor([0, 1, 2, 5])}, ValueError, r"labels must be in -1..4, got values from 0 to 5"),
    ({"labels": torch.tensor([0, 1, 2, -2])}, ValueError, r"labels must be in -1..4, got values from -2 to 2"),
    ({"labels": torch.zeros(4)}, TypeError, "labels must be an integer tensor, got torch.float32"),
    ({"labels": torch.zeros(4).bool()}, TypeError, "labels must be an integer tensor, got torch.bool"),
    ({"domains": torch.tensor([0, 1, 2, 0])}, ValueError, r"domains must be in 0..1, got values from 0 to 2"),
    ({"domains": torch.zeros(3).long()}, ValueError, r"domains must have shape \(4,\), got \(3,\)"),
    ({"weights": torch.tensor([0.0, 1.0, 1.5, 0.0])}, ValueError, r"weights must be in 0..1, got values from 0.0 to 1"),
    ({"weights": torch.full((4,), torch.nan)}, ValueError, r"weights must be in 0..1, got values from nan"),
    ({"weights": torch.zeros(4).long()}, TypeError, "weights must be a floating point tensor, got torch.int64"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD)
def test_bad_input_says_what_was_wanted_and_what_came(changed, error, message):
    good = {"features": torch.zeros(4, 3), "labels": torch.zeros(4).long(), "domains": torch.zeros(4).long()}
    with pytest.raises(error, match=message):
        MarginMetricLoss(5, 3)(**{**good, **changed})


@pytest.mark.parametrize("name", ["num_classes", "feature_dim", "num_domains"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        MarginMetricLoss(**{"num_classes": 2, "feature_dim": 2, name: 0})


def test_int32_labels_and_domains_give_the_same():
    features, labels, domains, weights = random_case(1)
    loss_fn = MarginMetricLoss(4, 3)
    same = loss_fn(features, labels.int(), domains.int(), weights)
    assert torch.equal(same, loss_fn(features, labels, domains, weights))


def test_bad_input_of_functions():
    rows, centers, labels = torch.zeros(4, 3), torch.zeros(2, 3), torch.zeros(4).long()
    with pytest.raises(ValueError, match=r"features must have shape \(N, 3\), got \(4, 2\)"):
        center_pull(rows[:, :2], centers, labels)
    with pytest.raises(ValueError, match=r"labels must be in 0..1, got values from -1 to -1"):
        center_pull(rows, centers, labels - 1)
    with pytest.raises(TypeError, match=r"labels must be an integer tensor, got torch.float32"):
        center_pull(rows, centers, labels.float())
    for function in (lambda one: center_pull(rows, one, labels), lambda one: center_spread(one, 1.0)):
        with pytest.raises(ValueError, match=r"centers must have shape \(K, D\), got \(3,\)"):
            function(centers[0])
        with pytest.raises(TypeError, match=r"centers must be a floating point tensor, got torch.int64"):
            function(centers.long())
    with pytest.raises(ValueError, match=r"second must have shape \(2, 3\), got \(1, 3\)"):
        center_gap(centers, centers[:1])


@pytest.mark.parametrize("count", [2, 3, 7])
def test_spread_is_a_hinge_on_half_the_mean_over_pairs(count):
    centers = torch.randn(count, 4)
    distances = [(a - b).square().sum() for a, b in itertools.combinations(centers, 2)]
    half_the_mean = torch.stack(distances).mean() / 2
    torch.testing.assert_close(center_spread(centers, margin=50.0), 50 - half_the_mean)
