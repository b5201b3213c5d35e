import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dmsrl_adapt import TwoBranchMIHook
from dmsrl_adapt.losses import CLUBLoss, DomainBranch

from ..stand_ins import CLASSES, DIM, SIZE, assert_same_states, make_batch, make_models, make_opts, states
from .plain_steps import HOSTS, hook_step, make_discriminator, plain_step, two_branch_losses

LOSSES = ["mi_loss", "mi_estimator_loss", "mi_branch_loss"]


def make(host="classifier", branch_dim=2):
    """With an estimator that has learned something of the first batch, so that the bound is above zero."""
    models = make_models()
    torch.manual_seed(3)
    models |= {"mi_branch": DomainBranch(DIM, branch_dim, hidden=16), "mi_estimator": CLUBLoss(DIM, branch_dim, 16)}
    twins = copy.deepcopy(models)
    opt = torch.optim.Adam(models["mi_estimator"].parameters(), lr=1e-2)
    for _ in range(100):
        _, losses = TwoBranchMIHook()({**twins, "mi_estimator": models["mi_estimator"], **make_batch()})
        opt.zero_grad()
        losses["mi_estimator_loss"].backward()
        opt.step()
    models["mi_estimator"].zero_grad()
    return {**models, "D": make_discriminator()} if host == "dann" else models


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    ("strength", "warmup", "progress"), [(1.0, "none", 0.1), (0.5, "linear", 0.1), (1.0, "linear", None)]
)
def test_one_step_equals_plain_pytorch(host, strength, warmup, progress):
    models, batch = make(host), make_batch()
    twins = copy.deepcopy(models)
    given = {} if progress is None else {"progress": progress}
    weights = {"mi_loss": 0.7, "mi_estimator_loss": 0.6, "mi_branch_loss": 0.5}
    _, losses = hook_step(
        host, models, {**batch, **given}, [TwoBranchMIHook(strength=strength, warmup=warmup)], weights
    )
    # at full strength without a warm-up, or where nothing tells the progress
    factor = strength * (progress if warmup == "linear" and progress is not None else 1.0)
    expected = {}

    def extra(forward):
        expected.update({key: weights[key] * loss for key, loss in two_branch_losses(twins, forward, factor).items()})
        return sum(expected.values())

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert expected["mi_loss"] > 0.1
    with_hook = {name: value for name, value in states(models).items() if "reversal" not in name}
    assert_same_states(with_hook, states(twins), rtol=1e-3, atol=1e-5)
    assert models["G"].count == twins["G"].count
    assert models["C"].count == twins["C"].count == 1
    for key, loss in expected.items():
        assert losses["total_loss"][key] == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("key", "reached"),
    [("mi_loss", {"G", "mi_branch"}), ("mi_estimator_loss", {"mi_estimator"}), ("mi_branch_loss", {"mi_branch"})],
)
def test_each_loss_reaches_what_it_trains_and_nothing_else(key, reached):
    models = make()
    _, losses = TwoBranchMIHook()({**models, **make_batch()})
    losses[key].backward()
    with_gradient = {
        name
        for name, model in models.items()
        if any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    }
    assert with_gradient == reached


def test_features_lose_the_domain_and_keep_the_classes():
    """Fresh linear probes tell it, on samples of their own; without the bound the same features keep the domain."""

    def draw(count):
        labels, domains = torch.randint(CLASSES, (2 * count,)), torch.arange(2 * count) // count
        images = 2 * F.one_hot(labels, 8) + 0.5 * torch.randn(2 * count, 8)
        images[:, 4] += domains
        images[:, 5] -= domains
        return images, labels, domains

    def probe(features, truth):
        net, half = nn.Linear(features.shape[1], int(truth.max()) + 1), len(truth) // 2
        order, features = torch.randperm(len(truth)), (features - features.mean(0)) / features.std(0)
        train, test = order[:half], order[half:]
        opt = torch.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(150):
            opt.zero_grad()
            F.cross_entropy(net(features[train]), truth[train]).backward()
            opt.step()
        return (net(features[test]).argmax(1) == truth[test]).float().mean().item()

    def train(weight, steps=600):
        torch.manual_seed(1)
        models = {"G": nn.Linear(8, DIM), "C": nn.Linear(DIM, CLASSES)}
        models |= {"mi_branch": DomainBranch(DIM, hidden=32), "mi_estimator": CLUBLoss(DIM, 1, hidden=32)}
        rates = {"G": 3e-3, "C": 3e-3, "mi_branch": 12e-3, "mi_estimator": 12e-3}
        opts = [torch.optim.Adam(model.parameters(), lr=rates[key]) for key, model in models.items()]
        schedules = [torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.01, total_iters=steps) for opt in opts]
        hook = TwoBranchMIHook()
        for step in range(steps):
            images, labels, domains = draw(64)
            batch = {"src_imgs": images[domains == 0], "target_imgs": images[domains == 1], "progress": step / steps}
            outputs, losses = hook({**models, **batch})
            logits = models["C"](outputs["src_imgs_features"])
            total = F.cross_entropy(logits, labels[domains == 0]) + sum(losses.values()) - losses["mi_loss"]
            (total + weight * losses["mi_loss"]).backward()
            for opt, schedule in zip(opts, schedules, strict=True):
                opt.step()
                opt.zero_grad()
                schedule.step()
        images, labels, domains = draw(1000)
        features = models["G"](images).detach()
        correct = models["C"](features).argmax(1) == labels
        return probe(features, domains), probe(features, labels), correct[domains == 1].float().mean().item()

    with_domain, _, _ = train(weight=0.0)
    domain, classes, target = train(weight=0.3)
    assert with_domain > 0.85
    assert domain < 0.6
    assert min(classes, target) > 0.95


def test_defaults():
    hook = TwoBranchMIHook()
    assert (hook.strength, hook.warmup) == (1.0, "linear")


def test_keys_are_declared():
    hook = TwoBranchMIHook(loss_suffix="_a")
    assert set(hook.out_keys) == {"src_imgs_features", "target_imgs_features"}
    assert set(hook.loss_keys) == {f"{key}_a" for key in LOSSES}


def test_neither_classifier_nor_labels_are_needed():
    context = {**make(), **make_batch()}
    del context["C"], context["src_labels"]
    assert set(TwoBranchMIHook()(context)[1]) == set(LOSSES)


@pytest.mark.parametrize("key", ["mi_branch", "mi_estimator", "G", "src_imgs", "target_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_batch()}
    del context[key]
    with pytest.raises(KeyError, match=rf"(?s)TwoBranchMIHook needs '{key}'|in TwoBranchMIHook.*{key}\W*$"):
        TwoBranchMIHook()(context)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target_imgs": torch.full((SIZE, 6), torch.nan)}, "features must be finite"),
        ({"progress": -0.5}, "'progress' must be in 0..1, got -0.5"),
        ({"mi_branch": DomainBranch(DIM + 1)}, rf"features must have shape \(N, {DIM + 1}\), got \(16, {DIM}\)"),
        ({"mi_branch": DomainBranch(DIM, 7)}, r"given must have shape \(N, 2\), got \(16, 7\)"),
    ],
)
def test_bad_batch_says_what_was_wanted_and_what_came(changed, message):
    with pytest.raises(ValueError, match=message) as caught:
        TwoBranchMIHook()({**make(), **make_batch(), **changed})
    assert "TwoBranchMIHook" in str(caught.value)


def test_negative_strength_is_refused():
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        TwoBranchMIHook(strength=-1.0)
