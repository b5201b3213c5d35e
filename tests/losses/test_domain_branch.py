import pytest
import torch

from dmsrl_adapt.losses import DomainBranch

from .. import references


def random_case(seed=0, size=9, dim=4):
    torch.manual_seed(seed)
    return torch.randn(size, dim, requires_grad=True), torch.randint(2, (size,))


@pytest.mark.parametrize("branch_dim", [1, 3])
def test_representation_and_loss_are_those_of_the_networks(branch_dim):
    features, domains = random_case()
    branch = DomainBranch(4, branch_dim, hidden=8)
    assert [DomainBranch(4).branch[0].out_features, branch.branch[0].out_features] == [256, 8]
    sensitive = branch(features, domains)
    assert torch.equal(sensitive.features, branch.branch(features))
    assert sensitive.features.shape == (9, branch_dim)
    expected = references.domain_cross_entropy(branch.classifier(branch.branch(features))[:, 0], domains.tolist())
    torch.testing.assert_close(sensitive.loss, expected)


def test_gradient_reaches_the_branch_and_not_the_features():
    features, domains = random_case()
    branch = DomainBranch(4, hidden=8)
    sensitive = branch(features, domains)
    (sensitive.loss + sensitive.features.square().sum()).backward()
    assert features.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in branch.parameters())


def test_it_learns_to_tell_the_domain():
    features, domains = random_case(size=40)
    features = features.detach() + 3 * domains[:, None]
    branch = DomainBranch(4, hidden=8)
    opt = torch.optim.Adam(branch.parameters(), lr=1e-2)
    for _ in range(100):
        opt.zero_grad()
        branch(features, domains).loss.backward()
        opt.step()
    sensitive = branch(features, domains)
    assert sensitive.loss < 0.1
    assert ((branch.classifier(sensitive.features)[:, 0] > 0) == domains).all()


def test_empty_batch_is_a_zero_with_a_gradient():
    branch = DomainBranch(4, branch_dim=2, hidden=8)
    sensitive = branch(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    sensitive.loss.backward()
    assert sensitive.loss == 0
    assert sensitive.features.shape == (0, 2)
    assert all(torch.isfinite(parameter.grad).all() for parameter in branch.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_features_are_computed_in_float32(dtype):
    features, domains = random_case()
    features = features.detach().to(dtype)
    branch = DomainBranch(4, hidden=8)
    expected = branch(features.float(), domains)
    with torch.autocast("cpu", dtype=dtype):
        sensitive = branch(features, domains)
    for ours, other in zip(sensitive, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, other)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"features": torch.zeros(4, 2)}, ValueError, r"features must have shape \(N, 3\), got \(4, 2\)"),
        (
            {"features": torch.zeros(4, 3).long()},
            TypeError,
            "features must be a floating point tensor, got torch.int64",
        ),
        ({"features": torch.full((4, 3), torch.nan)}, ValueError, "finite, got 12 NaN or infinite values of 12"),
        ({"domains": torch.tensor([0, 1, 2, 0])}, ValueError, r"domains must be in 0..1, got values from 0 to 2"),
        ({"domains": torch.zeros(4)}, TypeError, "domains must be an integer tensor, got torch.float32"),
        ({"domains": torch.zeros(4, 1).long()}, ValueError, r"domains must have shape \(4,\), got \(4, 1\)"),
    ],
)
def test_bad_input_says_what_was_wanted_and_what_came(changed, error, message):
    good = {"features": torch.zeros(4, 3), "domains": torch.zeros(4).long()}
    with pytest.raises(error, match=message):
        DomainBranch(3, hidden=4)(**{**good, **changed})


@pytest.mark.parametrize("name", ["feature_dim", "branch_dim", "hidden"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        DomainBranch(**{"feature_dim": 2, name: 0})
