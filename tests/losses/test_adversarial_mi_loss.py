import math

import pytest
import torch

from dmsrl_adapt.losses import AdversarialMILoss, class_domain_cross_entropy, domain_cross_entropy

from .. import references

FORMS = [None, 3]


def random_case(seed, size=11, dim=4, num_classes=3):
    torch.manual_seed(seed)
    features = torch.randn(size, dim, requires_grad=True)
    domains = torch.randint(2, (size,))
    probs = torch.randn(size, num_classes).softmax(1)
    # source rows are certain, as the hook makes them
    certain = torch.nn.functional.one_hot(probs.argmax(1), num_classes).float()
    return features, domains, torch.where(domains[:, None] == 0, certain, probs)


def unreversed(loss_fn, features, domains, probs):
    """The critic's loss with the plain gradient, by the slow reference."""
    logits = loss_fn.critic(features)
    if loss_fn.num_classes is None:
        return references.domain_cross_entropy(logits, domains.tolist())
    mass = torch.zeros(2, loss_fn.num_classes)
    balanced = references.balanced_class_probs(mass, domains.tolist(), probs)
    return references.class_domain_cross_entropy(logits.view(-1, loss_fn.num_classes), domains.tolist(), balanced)


@pytest.mark.parametrize("seed", range(5))
def test_functions_equal_slow_reference(seed):
    torch.manual_seed(seed)
    logits = 3 * torch.randn(13, 4, dtype=torch.float64)
    domains = torch.randint(2, (13,))
    probs = torch.randn(13, 4, dtype=torch.float64).softmax(1)
    marginal = references.domain_cross_entropy(logits[:, 0], domains.tolist())
    torch.testing.assert_close(domain_cross_entropy(logits[:, 0], domains), marginal)
    conditional = references.class_domain_cross_entropy(logits, domains.tolist(), probs)
    torch.testing.assert_close(class_domain_cross_entropy(logits, domains, probs), conditional)


@pytest.mark.parametrize("num_classes", FORMS)
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.0])
def test_reversal_flips_and_scales_the_features_gradient_only(num_classes, strength):
    features, domains, probs = random_case(0)
    loss_fn = AdversarialMILoss(4, num_classes, hidden=16)
    loss = loss_fn(features, domains, probs, strength)
    loss.backward()
    critic_grads = [parameter.grad.clone() for parameter in loss_fn.critic.parameters()]
    loss_fn.zero_grad()
    plain = features.detach().clone().requires_grad_()
    expected = unreversed(loss_fn, plain, domains, probs)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    assert plain.grad.abs().sum() > 0
    torch.testing.assert_close(features.grad, -strength * plain.grad)
    for ours, theirs in zip(critic_grads, (p.grad for p in loss_fn.critic.parameters()), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_two_losses_before_one_backward_keep_their_own_strengths():
    features, domains, _ = random_case(0)
    loss_fn = AdversarialMILoss(4, hidden=16)
    unreversed(loss_fn, features, domains, None).backward()
    plain, features.grad = features.grad, None
    (loss_fn(features, domains, strength=1.0) + loss_fn(features, domains, strength=0.25)).backward()
    torch.testing.assert_close(features.grad, -1.25 * plain)


def test_values_by_hand():
    blind = torch.zeros(5)
    domains = torch.tensor([0, 0, 0, 1, 1])
    assert domain_cross_entropy(blind, domains).item() == pytest.approx(math.log(2))
    # log odds of domain 1: right on four, 100 nats wrong on the last
    sure = torch.tensor([-100.0, -100.0, -100.0, 100.0, -100.0])
    assert domain_cross_entropy(sure, domains).item() == pytest.approx(20)


def test_value_within_classes_by_hand():
    domains = torch.tensor([0, 0, 0, 1])
    probs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    # mass / (1 + mass): class 0 has 2/3 of source and 1/3 of target, class 1 has 1/2 and 1/3; all over 2 K = 4
    blind = (2 / 3 + 1 / 3 + 1 / 2 + 1 / 3) / 4 * math.log(2)
    assert class_domain_cross_entropy(torch.zeros(4, 2), domains, probs).item() == pytest.approx(blind)
    # only class 1's critic errs, on the one target sample, by 8 nats
    logits = torch.tensor([[-50.0, 0.0], [-50.0, 0.0], [0.0, -50.0], [50.0, -8.0]])
    err = (8 + math.log1p(math.exp(-8))) / 3 / 4
    assert class_domain_cross_entropy(logits, domains, probs).item() == pytest.approx(err)


def test_a_class_that_the_target_seems_to_lack_is_not_aligned():
    """Of class 1 the target has a single doubtful sample, of class 0 as many as the source."""
    domains = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    probs = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [0.9, 0.1]])
    loss_fn, features, pulls = AdversarialMILoss(4, 2, hidden=16), torch.randn(8, 4), []
    for is_training in (True, False):  # a new layer in evaluation mode knows of no class mix
        x = features.clone().requires_grad_()
        loss_fn.train(is_training)(x, domains, probs).backward()
        loss_fn.balance.class_mass.zero_()
        pulls.append(x.grad[2:4].norm().item())
    assert 0 < pulls[0] < 0.02 * pulls[1]


def test_balance_follows_the_batches_of_training_mode_with_the_momentum_given():
    loss_fn = AdversarialMILoss(4, 2, hidden=4, momentum=0.75)
    features, domains = torch.randn(3, 4), torch.tensor([0, 0, 1])
    loss_fn(features, domains, torch.tensor([[1.0, 0], [0, 1], [0.2, 0.4]]))
    loss_fn(features[:2], domains[:2], torch.tensor([[1.0, 0], [1, 0]]))
    expected = torch.tensor([[0.75 * 0.5 + 0.25, 0.75 * 0.5], [0.2, 0.4]])
    torch.testing.assert_close(loss_fn.balance.class_mass, expected)
    loss_fn.eval()(features[:2], domains[:2], torch.tensor([[0.0, 1], [0, 1]]))
    torch.testing.assert_close(loss_fn.balance.class_mass, expected)


@pytest.mark.parametrize("num_domains", [2, 3])
def test_what_is_saved_is_the_critic_and_in_the_conditional_form_its_balance(num_domains):
    marginal = AdversarialMILoss(4, hidden=4, num_domains=num_domains)
    assert all(name.startswith("critic.") for name in marginal.state_dict())
    conditional = AdversarialMILoss(4, 2, hidden=4, num_domains=num_domains)
    assert set(conditional.state_dict()) - set(marginal.state_dict()) == {"balance.class_mass"}
    assert conditional.balance.class_mass.shape == (num_domains, 2)


def test_gradcheck():
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    domains, probs = torch.tensor([0, 0, 1, 1, 1, 0]), torch.rand(6, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: domain_cross_entropy(x[:, 0], domains), (logits,))
    assert torch.autograd.gradcheck(lambda x: class_domain_cross_entropy(x, domains, probs), (logits,))


def test_published_critic_is_d_512_512_1():
    sizes = [tuple(parameter.shape) for parameter in AdversarialMILoss(7).parameters()]
    assert sizes == [(512, 7), (512,), (512, 512), (512,), (1, 512), (1,)]
    assert AdversarialMILoss(7, num_classes=5).critic(torch.zeros(2, 7)).shape == (2, 5)


@pytest.mark.parametrize("num_classes", [None, 1, 3])
def test_empty_batch_is_a_zero_with_a_gradient(num_classes):
    loss_fn = AdversarialMILoss(4, num_classes, hidden=8)
    features = torch.zeros(0, 4, requires_grad=True)
    probs = torch.zeros(0, num_classes or 1)
    loss = loss_fn(features, torch.zeros(0, dtype=torch.long), probs)
    loss.backward()
    assert loss.item() == 0
    assert features.grad.shape == (0, 4)
    assert all(torch.isfinite(parameter.grad).all() for parameter in loss_fn.parameters())


@pytest.mark.parametrize("num_classes", [None, 1, 3])
@pytest.mark.parametrize("domains", [[1], [0, 0, 0]])
def test_one_sample_one_domain_and_missing_classes_are_finite(num_classes, domains):
    loss_fn = AdversarialMILoss(4, num_classes, hidden=8)
    features = torch.randn(len(domains), 4, requires_grad=True)
    probs = torch.zeros(len(domains), num_classes or 1)
    probs[:, 0] = 1
    loss = loss_fn(features, torch.tensor(domains), probs)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss > 0
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("num_classes", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_features_are_computed_in_float32(num_classes, dtype):
    features, domains, probs = random_case(0)
    features = features.detach().to(dtype).requires_grad_()
    loss_fn = AdversarialMILoss(4, num_classes, hidden=16)
    expected = loss_fn(features.detach().float(), domains, probs)
    with torch.autocast("cpu", dtype=dtype):
        loss = loss_fn(features, domains, probs)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    loss.backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_class_probs_of_any_type_count_as_float32(dtype):
    features, domains, probs = random_case(0)
    probs, loss_fn = probs.to(dtype), AdversarialMILoss(4, 3, hidden=8)
    expected = loss_fn(features, domains, probs.float())
    loss = loss_fn(features, domains, probs)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_no_gradient_flows_into_class_probs():
    features, domains, probs = random_case(0)
    probs.requires_grad_()
    AdversarialMILoss(4, 3, hidden=8)(features, domains, probs).backward()
    assert probs.grad is None


def test_marginal_form_ignores_class_probs():
    features, domains, probs = random_case(0)
    loss_fn = AdversarialMILoss(4, hidden=8)
    assert torch.equal(loss_fn(features, domains, probs), loss_fn(features, domains))


BAD = [
    ({"features": torch.zeros(4, 2)}, ValueError, r"features must have shape \(N, 3\), got \(4, 2\)"),
    ({"features": torch.zeros(4, 3).long()}, TypeError, "features must be a floating point tensor, got torch.int64"),
    ({"features": torch.full((4, 3), torch.nan)}, ValueError, "finite, got 12 NaN or infinite values of 12"),
    ({"domains": torch.tensor([0, 1, 2, 0])}, ValueError, r"domains must be in 0..1, got values from 0 to 2"),
    ({"domains": torch.zeros(4)}, TypeError, "domains must be an integer tensor, got torch.float32"),
    ({"domains": torch.zeros(4, 1).long()}, ValueError, r"domains must have shape \(4,\), got \(4, 1\)"),
    ({"strength": -1.0}, ValueError, "strength must be at least 0, got -1"),
    ({"class_probs": None}, ValueError, r"class_probs must have shape \(4, 2\) for the conditional form"),
    ({"class_probs": torch.zeros(4, 3)}, ValueError, r"class_probs must have shape \(4, 2\), got \(4, 3\)"),
    ({"class_probs": torch.zeros(5, 2)}, ValueError, r"class_probs must have shape \(4, 2\), got \(5, 2\)"),
    (
        {"class_probs": torch.full((4, 2), 1.5)},
        ValueError,
        r"class_probs must be in 0..1.*, got values from 1.5 to 1.5",
    ),
    ({"class_probs": torch.full((4, 2), torch.nan)}, ValueError, r"class_probs must be in 0..1.*, got values from nan"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD)
def test_bad_input_says_what_was_wanted_and_what_came(changed, error, message):
    good = {"features": torch.zeros(4, 3), "domains": torch.zeros(4).long(), "class_probs": torch.zeros(4, 2)}
    with pytest.raises(error, match=message):
        AdversarialMILoss(3, 2, hidden=4)(**{**good, **changed})


@pytest.mark.parametrize("name", ["num_classes", "feature_dim", "hidden"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        AdversarialMILoss(**{"feature_dim": 2, name: 0})


@pytest.mark.parametrize("num_classes", FORMS)
@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_momentum_out_of_range_is_refused(momentum, num_classes):
    with pytest.raises(ValueError, match=r"momentum must be in 0\.\.1, got"):
        AdversarialMILoss(4, num_classes, momentum=momentum)


@pytest.mark.parametrize("num_classes", FORMS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_any_integer_domains_give_the_same(num_classes, dtype):
    """Torch takes uint8 indices for a mask."""
    features, domains, probs = random_case(0)
    loss_fn = AdversarialMILoss(4, num_classes, hidden=8)
    assert torch.equal(loss_fn(features, domains.to(dtype), probs), loss_fn(features, domains, probs))


def several(seed=0, num_domains=3):
    features, _, probs = random_case(seed)
    return features, torch.arange(len(features)) % num_domains, probs


@pytest.mark.parametrize("seed", range(3))
def test_several_domains_equal_slow_reference(seed):
    features, domains, probs = several(seed)
    loss_fn = AdversarialMILoss(4, 3, hidden=16, num_domains=3)
    logits = loss_fn.critic(features.detach()).view(-1, 3, 3)
    balanced = references.balanced_class_probs(torch.zeros(3, 3), domains.tolist(), probs)
    expected = references.several_domains_cross_entropy(logits, domains.tolist(), balanced)
    torch.testing.assert_close(loss_fn(features, domains, probs), expected)
    marginal = AdversarialMILoss(4, hidden=16, num_domains=3)
    logits = marginal.critic(features.detach())
    expected = references.smoothed_cross_entropy(logits, domains.tolist(), 0.0)
    torch.testing.assert_close(marginal(features, domains), expected)


def test_two_domains_by_two_logits_are_those_by_their_log_odds():
    logits, domains = torch.randn(6, 3, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    probs, odds = torch.rand(6, 3), logits[..., 1] - logits[..., 0]
    by_two = class_domain_cross_entropy(logits, domains, probs)
    torch.testing.assert_close(by_two, class_domain_cross_entropy(odds, domains, probs))
    torch.testing.assert_close(domain_cross_entropy(logits[:, 0], domains), domain_cross_entropy(odds[:, 0], domains))


def test_value_of_three_domains_by_hand():
    """A blind critic errs by log 3; the only class has mass 2, 1 and 1 in the domains."""
    domains, probs = torch.tensor([0, 0, 1, 2]), torch.ones(4, 1)
    expected = (2 / 3 + 1 / 2 + 1 / 2) / 3 * math.log(3)
    assert class_domain_cross_entropy(torch.zeros(4, 1, 3), domains, probs).item() == pytest.approx(expected)
    assert domain_cross_entropy(torch.zeros(4, 3), domains).item() == pytest.approx(math.log(3))


def test_gradcheck_of_several_domains():
    logits = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    domains, probs = torch.tensor([0, 2, 1, 1, 2, 0]), torch.rand(6, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: class_domain_cross_entropy(x, domains, probs), (logits,))
    assert torch.autograd.gradcheck(lambda x: domain_cross_entropy(x[:, 0], domains), (logits,))


@pytest.mark.parametrize("num_classes", FORMS)
@pytest.mark.parametrize("size", [0, 1])
def test_several_domains_in_an_empty_batch_and_in_one_of_one_sample(num_classes, size):
    loss_fn = AdversarialMILoss(4, num_classes, hidden=8, num_domains=4)
    features = torch.randn(size, 4, requires_grad=True)
    loss = loss_fn(features, torch.full((size,), 3), torch.ones(size, num_classes or 1))
    loss.backward()
    assert loss.isfinite() and (loss > 0) == (size > 0)
    assert features.grad.isfinite().all()


def test_a_class_that_one_of_several_sources_lacks_is_not_aligned():
    domains = torch.tensor([0, 0, 1, 1, 2, 2])
    probs = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 0]])
    loss_fn, x = AdversarialMILoss(4, 2, hidden=16, num_domains=3), torch.randn(6, 4, requires_grad=True)
    loss_fn(x, domains, probs).backward()
    assert x.grad[probs[:, 1] == 1].abs().sum() == 0
    assert (x.grad[probs[:, 0] == 1].norm(dim=1) > 0).all()


def test_domain_out_of_range_and_too_few_domains_are_refused():
    features, domains, probs = several(num_domains=4)
    with pytest.raises(ValueError, match=r"domains must be in 0\.\.2, got values from 0 to 3"):
        AdversarialMILoss(4, 3, num_domains=3)(features, domains, probs)
    with pytest.raises(ValueError, match="num_domains must be at least 2, got 1"):
        AdversarialMILoss(4, 3, num_domains=1)


@pytest.mark.parametrize("num_domains", [2, 3])
def test_accuracy_is_the_share_of_samples_whose_domain_the_critic_tells(num_domains):
    domains = torch.tensor([0, 1, num_domains - 1, 0])
    loss = AdversarialMILoss(feature_dim=num_domains, num_domains=num_domains)
    signed, one_hot = 2.0 * domains - 1, torch.eye(num_domains)[domains]
    loss.critic = torch.nn.Module()
    loss.critic.forward = lambda features: signed if num_domains == 2 else one_hot
    features = torch.zeros(4, num_domains)
    loss(features, domains)
    assert loss.accuracy == 1
    loss(features, domains.index_fill(0, torch.tensor([3]), 1))
    assert loss.accuracy == 0.75


OF_FUNCTIONS = [
    (
        domain_cross_entropy,
        {"logits": torch.zeros(4, 2, 2)},
        ValueError,
        r"logits must have shape \(N, M\), got \(4, 2",
    ),
    (domain_cross_entropy, {"logits": torch.zeros(4).long()}, TypeError, "logits must be a floating point tensor"),
    (domain_cross_entropy, {"domains": torch.tensor([0, 1, -1, 0])}, ValueError, r"domains must be in 0..1, got .* -1"),
    (
        domain_cross_entropy,
        {"domains": torch.zeros(3).long()},
        ValueError,
        r"domains must have shape \(4,\), got \(3,\)",
    ),
    (domain_cross_entropy, {"domains": torch.zeros(4)}, TypeError, "domains must be an integer tensor"),
    (
        class_domain_cross_entropy,
        {"logits": torch.zeros(4)},
        ValueError,
        r"logits must have shape \(N, K\), got \(4,\)",
    ),
    (class_domain_cross_entropy, {"domains": torch.full((4,), 2)}, ValueError, r"domains must be in 0..1, got .* 2"),
    (class_domain_cross_entropy, {"class_probs": torch.zeros(4, 3)}, ValueError, r"class_probs must have .* \(4, 2\)"),
    (class_domain_cross_entropy, {"class_probs": torch.zeros(4, 2).int()}, TypeError, "class_probs must be a floating"),
]


@pytest.mark.parametrize(("function", "changed", "error", "message"), OF_FUNCTIONS)
def test_bad_input_of_functions(function, changed, error, message):
    good = {"logits": torch.zeros(4), "domains": torch.zeros(4).long()}
    if function is class_domain_cross_entropy:
        good |= {"logits": torch.zeros(4, 2), "class_probs": torch.zeros(4, 2)}
    with pytest.raises(error, match=message):
        function(**{**good, **changed})


def test_functions_give_a_zero_with_a_gradient_on_an_empty_batch():
    for shape, probs in (((0,), []), ((0, 3), []), ((0, 2), [torch.zeros(0, 2)]), ((0, 2, 3), [torch.zeros(0, 2)])):
        logits = torch.zeros(shape, requires_grad=True)
        function = class_domain_cross_entropy if probs else domain_cross_entropy
        loss = function(logits, torch.zeros(0).long(), *probs)
        loss.backward()
        assert loss == 0 and logits.grad.shape == shape


def slow_smoothed(logits, domains, probs, smoothing):
    """1/(MK) sum_k sum_i q_ik / (1 + mass of its domain) sum_m -t_im log p_ikm, logits of shape (N, K, M)."""
    loss, (size, num_classes, num_domains) = 0 * logits.sum(), logits.shape
    for k in range(num_classes):
        for i in range(size):
            mass = sum(probs[j, k] for j in range(size) if domains[j] == domains[i])
            for m in range(num_domains):
                truth = (1 - smoothing) * (domains[i] == m) + smoothing / num_domains
                log_p = references.log_softmax(logits[i, k], m)
                loss = loss - truth * probs[i, k] / (1 + mass) * log_p / (num_domains * num_classes)
    return loss


@pytest.mark.parametrize("num_domains", [2, 3])
@pytest.mark.parametrize("smoothing", [0.2, 1.0])
def test_smoothed_domain_labels_equal_slow_reference(num_domains, smoothing):
    torch.manual_seed(num_domains)
    logits = 2 * torch.randn(7, 4, num_domains, dtype=torch.float64)
    domains, probs = torch.arange(7) % num_domains, torch.randn(7, 4, dtype=torch.float64).softmax(1)
    given = logits[..., 1] - logits[..., 0] if num_domains == 2 else logits
    expected = slow_smoothed(logits, domains.tolist(), probs, smoothing)
    torch.testing.assert_close(class_domain_cross_entropy(given, domains, probs, smoothing), expected)
    rows = [references.smoothed_cross_entropy(logits[i : i + 1, 0], [int(domains[i])], smoothing) for i in range(7)]
    torch.testing.assert_close(domain_cross_entropy(given[:, 0], domains, smoothing), sum(rows) / 7)


def test_value_of_smoothed_domain_labels_by_hand():
    # log odds log 3: probabilities 1/4 and 3/4; 0.2 of a label is spread, so 0.9 remains at its domain
    odds = torch.full((1,), math.log(3.0))
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    assert domain_cross_entropy(odds, torch.tensor([1]), 0.2).item() == pytest.approx(expected)


@pytest.mark.parametrize("num_classes", FORMS)
def test_critic_smooths_its_labels_and_by_default_does_not_by_a_bit(num_classes):
    features, domains, probs = random_case(0)
    losses = []
    for settings in ({}, {"label_smoothing": 0.0}, {"label_smoothing": 0.2}):
        torch.manual_seed(0)
        losses.append(AdversarialMILoss(4, num_classes, hidden=16, **settings)(features, domains, probs))
    assert torch.equal(losses[0], losses[1])
    torch.manual_seed(0)
    loss_fn = AdversarialMILoss(4, num_classes, hidden=16)
    logits = loss_fn.critic(features)
    if num_classes is None:
        expected = domain_cross_entropy(logits.view(-1), domains, 0.2)
    else:
        balanced = probs * loss_fn.balance(probs, domains)
        expected = class_domain_cross_entropy(logits.view(-1, num_classes), domains, balanced, 0.2)
    torch.testing.assert_close(losses[2], expected)
    assert losses[2] != losses[0]


def test_gradcheck_of_smoothed_domain_labels():
    domains, probs = torch.tensor([0, 1, 1, 0, 1]), torch.randn(5, 3, dtype=torch.float64).softmax(1)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: class_domain_cross_entropy(x, domains, probs, 0.3), logits)


def test_smoothed_domain_labels_of_an_empty_batch_are_a_zero_with_a_gradient():
    logits = torch.zeros(0, 3, requires_grad=True)
    nobody = torch.zeros(0, dtype=torch.long)
    loss = class_domain_cross_entropy(logits, nobody, torch.zeros(0, 3), 0.2)
    loss = loss + domain_cross_entropy(logits[:, 0], nobody, 0.2)
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros(0, 3))


@pytest.mark.parametrize("smoothing", [-0.1, 1.1])
def test_smoothing_out_of_range_is_refused(smoothing):
    message = rf"label_smoothing must be in 0\.\.1, got {smoothing}"
    odds, domains = torch.zeros(2), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=message):
        AdversarialMILoss(4, label_smoothing=smoothing)
    with pytest.raises(ValueError, match=message):
        domain_cross_entropy(odds, domains, smoothing)
    with pytest.raises(ValueError, match=message):
        class_domain_cross_entropy(odds[:, None], domains, torch.ones(2, 1), smoothing)
