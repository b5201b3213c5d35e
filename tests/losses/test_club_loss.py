import math

import pytest
import torch
from torch import nn

from dmsrl_adapt.losses import CLUBLoss, club_bound, gaussian_negative_log_likelihood
from dmsrl_adapt.losses.club_loss import standardised

from .. import references


def random_case(seed=0, size=9, dims=(4, 2)):
    torch.manual_seed(seed)
    given = torch.randn(size, dims[1])
    values = 3 * torch.randn(size, dims[0]) + given.sum(1, keepdim=True) + 5
    return values.requires_grad_(), given.requires_grad_()


def trained(values, given, steps=200):
    """A loss whose network knows the batch."""
    torch.manual_seed(1)
    loss_fn = CLUBLoss(values.shape[1], given.shape[1], hidden=16)
    opt = torch.optim.Adam(loss_fn.parameters(), lr=1e-2)
    for _ in range(steps):
        opt.zero_grad()
        loss_fn(values, given).estimator.backward()
        opt.step()
    loss_fn.zero_grad()
    return loss_fn


def slow_losses(loss_fn, values, given):
    """Both losses by the slow references, with every gradient there is."""
    means, raw = loss_fn.estimator(given).chunk(2, 1)
    guess = (references.standardised(values), means, 5 * torch.tanh(raw / 5))
    return references.club_bound(*guess), references.negative_log_likelihood(*guess)


def known(draws, dim, correlation):
    """Pairs of Gaussian vectors, entry by entry of that correlation, with shifts and scales of their own."""
    given = torch.randn(draws, dim)
    values = correlation * given + math.sqrt(1 - correlation**2) * torch.randn(draws, dim)
    return 3 * values - 2, 0.5 * given + 1


@pytest.mark.parametrize("dim", [1, 5, 20])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_bound_on_gaussians_whose_mutual_information_is_known(dim, correlation):
    torch.manual_seed(0)
    loss_fn = CLUBLoss(dim, dim, hidden=64)
    opt = torch.optim.Adam(loss_fn.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.02, total_iters=500)
    for _ in range(500):
        opt.zero_grad()
        loss_fn(*known(256, dim, correlation)).estimator.backward()
        opt.step()
        schedule.step()
    with torch.no_grad():
        bound = loss_fn(*known(10_000, dim, correlation)).bound.item()
    information = -dim / 2 * math.log(1 - correlation**2)
    noise = 0.002 * dim
    assert bound >= information - noise
    # what the bound is where q is the true conditional distribution, at least twice the mutual information
    assert bound == pytest.approx(dim * correlation**2 / (1 - correlation**2), rel=0.1, abs=noise)


@pytest.mark.parametrize("seed", range(5))
def test_functions_equal_slow_reference(seed):
    torch.manual_seed(seed)
    values, means, log_variances = torch.randn(3, 7, 4, dtype=torch.float64)
    for fast, slow in (
        (club_bound, references.club_bound),
        (gaussian_negative_log_likelihood, references.negative_log_likelihood),
    ):
        torch.testing.assert_close(fast(values, means, log_variances), slow(values, means, log_variances))
    torch.testing.assert_close(standardised(values), references.standardised(values))


def test_values_by_hand():
    values, zeros = torch.tensor([[1.0], [-1.0]]), torch.zeros(2, 1)
    # a right guess misses none of the pairs and by 2 half of all pairs: (0 + 4) / 2 / 2 = 1
    assert club_bound(values, values, zeros).item() == pytest.approx(1)
    # a quarter of the variance counts four times as much
    assert club_bound(values, values, zeros - math.log(4)).item() == pytest.approx(4)
    assert club_bound(values, zeros, zeros).item() == pytest.approx(0)
    assert club_bound(values, -values, zeros).item() == pytest.approx(-1)
    assert gaussian_negative_log_likelihood(values, values, zeros + 3).item() == pytest.approx(1.5)
    assert gaussian_negative_log_likelihood(values, -values, zeros).item() == pytest.approx(2)
    assert standardised(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist() == [
        pytest.approx([-1, 0], abs=1e-4),
        pytest.approx([1, 0], abs=1e-4),
    ]


def test_gradcheck():
    case = tuple(torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    for function in (club_bound, gaussian_negative_log_likelihood):
        assert torch.autograd.gradcheck(function, case)
    assert torch.autograd.gradcheck(standardised, case[:1])


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.0])
def test_bound_reaches_both_representations_and_not_the_network(strength):
    values, given = random_case()
    loss_fn = trained(values.detach(), given.detach())
    bound = loss_fn(values, given, strength).bound
    bound.backward()
    expected, _ = slow_losses(loss_fn, values, given)
    assert expected > 0.1
    torch.testing.assert_close(bound, expected)
    assert all(parameter.grad is None for parameter in loss_fn.parameters())
    for ours, plain in zip((values, given), torch.autograd.grad(expected, (values, given)), strict=True):
        assert plain.abs().sum() > 0
        torch.testing.assert_close(ours.grad, strength * plain, rtol=1e-4, atol=1e-6)


def test_estimators_loss_reaches_the_network_alone():
    values, given = random_case()
    loss_fn = CLUBLoss(4, 2, hidden=8)
    loss = loss_fn(values, given, strength=0.5).estimator
    loss.backward()
    _, expected = slow_losses(loss_fn, values.detach(), given.detach())
    torch.testing.assert_close(loss, expected)
    assert values.grad is given.grad is None
    plain = torch.autograd.grad(expected, loss_fn.parameters())
    for parameter, gradient in zip(loss_fn.parameters(), plain, strict=True):
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_values_on_another_scale_give_the_same():
    """So the bound cannot be lowered by making the values small."""
    values, given = random_case()
    loss_fn = trained(values.detach(), given.detach())
    torch.testing.assert_close(loss_fn(100 * values - 7, given), loss_fn(values, given), rtol=1e-4, atol=1e-4)


def test_estimate_below_zero_is_a_zero_with_no_gradient():
    loss_fn = CLUBLoss(1, 1)
    loss_fn.estimator = nn.Linear(1, 2)
    with torch.no_grad():
        loss_fn.estimator.weight.copy_(torch.tensor([[-1.0], [0.0]]))
    values = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = loss_fn(values, values.detach())
    assert loss.bound == 0
    loss.bound.backward()
    assert torch.equal(values.grad, torch.zeros(2, 1))


@pytest.mark.parametrize("size", [0, 1])
def test_without_a_pair_the_bound_is_a_zero_with_a_gradient(size):
    values, given = torch.zeros(size, 4, requires_grad=True), torch.ones(size, 2, requires_grad=True)
    loss_fn = CLUBLoss(4, 2, hidden=8)
    loss = loss_fn(values, given)
    assert loss.bound == 0
    assert (loss.estimator == 0) == (size == 0)
    (loss.bound + loss.estimator).backward()
    assert all(torch.isfinite(x.grad).all() for x in (values, given, *loss_fn.parameters()))


def test_values_that_do_not_vary_stay_finite():
    values, given = random_case()
    constant = torch.cat([values[:, :3], torch.full((9, 1), 2.0)], 1).detach().requires_grad_()
    loss_fn = trained(constant.detach(), given.detach(), steps=500)
    loss_fn(constant, given).bound.backward()
    assert torch.isfinite(constant.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_values_are_computed_in_float32(dtype):
    values, given = (x.detach().to(dtype).requires_grad_() for x in random_case())
    loss_fn = trained(values.detach(), given.detach())
    expected = loss_fn(values.detach().float(), given.detach().float())
    with torch.autocast("cpu", dtype=dtype):
        losses = loss_fn(values, given)
    for loss, other in zip(losses, expected, strict=True):
        assert loss.dtype == torch.float32
        assert torch.equal(loss, other)
    losses.bound.backward()
    assert torch.isfinite(values.grad).all()
    assert torch.isfinite(given.grad).all()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"values": torch.zeros(4, 2)}, ValueError, r"values must have shape \(N, 3\), got \(4, 2\)"),
        ({"values": torch.zeros(4, 3).long()}, TypeError, "values must be a floating point tensor, got torch.int64"),
        ({"values": torch.full((4, 3), torch.nan)}, ValueError, "values must be finite, got 12 NaN or infinite values"),
        ({"given": torch.zeros(4, 3)}, ValueError, r"given must have shape \(N, 2\), got \(4, 3\)"),
        ({"given": torch.zeros(5, 2)}, ValueError, r"given must have shape \(4, 2\), got \(5, 2\)"),
        ({"given": torch.full((4, 2), torch.inf)}, ValueError, "given must be finite, got 8 NaN or infinite values"),
        ({"strength": -1.0}, ValueError, "strength must be at least 0, got -1"),
    ],
)
def test_bad_input_says_what_was_wanted_and_what_came(changed, error, message):
    with pytest.raises(error, match=message):
        CLUBLoss(3, 2, hidden=4)(**{"values": torch.zeros(4, 3), "given": torch.zeros(4, 2), **changed})


@pytest.mark.parametrize("name", ["values_dim", "given_dim", "hidden"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        CLUBLoss(**{"values_dim": 2, "given_dim": 2, name: 0})


@pytest.mark.parametrize("function", [club_bound, gaussian_negative_log_likelihood])
def test_bad_input_of_functions(function):
    rows = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"values must have shape \(N, D\), got \(3,\)"):
        function(rows[:, 0], rows, rows)
    with pytest.raises(ValueError, match=r"means must have shape \(3, 2\), got \(1, 2\)"):
        function(rows, rows[:1], rows)
    with pytest.raises(ValueError, match=r"log_variances must have shape \(3, 2\), got \(3, 1\)"):
        function(rows, rows, rows[:, :1])
    with pytest.raises(TypeError, match=r"log_variances must be a floating point tensor, got torch.int64"):
        function(rows, rows, rows.long())
