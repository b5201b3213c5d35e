import copy

import pytest
import torch
import torch.nn.functional as F

from dmsrl_adapt import LevelFeaturesHook, MIMinimizationHook
from dmsrl_adapt.losses import AdversarialMILoss

from .. import references
from ..stand_ins import CLASSES, DIM, SIZE, Several, assert_same_states, make_batch, make_models, make_opts, states
from .level_models import WEIGHTS, LevelTap, make_level_batch, make_level_models
from .plain_steps import CLOSE, HOSTS, hook_step, make_discriminator, plain_step, reverse


def make(conditional, host="classifier"):
    models = make_models()
    torch.manual_seed(3)
    models["mi_critic"] = AdversarialMILoss(DIM, CLASSES if conditional else None, hidden=16)
    return {**models, "D": make_discriminator()} if host == "dann" else models


def slow_loss(layer, forward, strength, entropy_conditioning=True):
    """The reference over both domains of a plain step, source first, behind a reversal of our own."""
    features = torch.cat([forward.features["src"], forward.features["target"]])
    return slow_loss_of(layer, features, forward, strength, entropy_conditioning)


def slow_loss_of(layer, features, forward, strength, entropy_conditioning=True):
    logits, domains = layer.critic(reverse(features, strength)), SIZE * [0] + SIZE * [1]
    if layer.num_classes is None:
        return references.domain_cross_entropy(logits, domains)
    certain = F.one_hot(forward.batch["src_labels"], CLASSES).float()
    target = forward.logits("target").detach().softmax(1)
    weights = torch.cat([torch.ones(SIZE), references.certainty(target) if entropy_conditioning else torch.ones(SIZE)])
    probs = torch.cat([certain, target])
    balanced = references.balanced_class_probs(layer.balance.class_mass, domains, probs, weights)
    return references.class_domain_cross_entropy(logits, domains, balanced)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("conditional", "entropy_conditioning"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(
    ("strength", "warmup", "progress"), [(1.0, "none", 0.1), (0.5, "linear", 0.1), (1.0, "linear", None)]
)
def test_one_step_equals_plain_pytorch(host, conditional, entropy_conditioning, strength, warmup, progress):
    models, batch = make(conditional, host), make_batch()
    twins = copy.deepcopy(models)
    given = {} if progress is None else {"progress": progress}
    hook = MIMinimizationHook(
        conditional=conditional, strength=strength, warmup=warmup, entropy_conditioning=entropy_conditioning
    )
    _, losses = hook_step(host, models, {**batch, **given}, [hook], {"mi_loss": 0.7})
    # at full strength without a warm-up, or where nothing tells the progress
    factor = strength * (progress if warmup == "linear" and progress is not None else 1.0)
    parts = []

    def extra(forward):
        parts.append(0.7 * slow_loss(twins["mi_critic"], forward, factor, entropy_conditioning))
        return parts[0]

    plain_step(host, twins, make_opts(twins), batch, extra)
    without_reversal = {name: value for name, value in states(twins).items() if "reversal" not in name}
    with_hook = {name: value for name, value in states(models).items() if "reversal" not in name}
    assert_same_states(with_hook, without_reversal, **CLOSE)
    assert models["G"].count == twins["G"].count == 2
    assert models["C"].count == twins["C"].count == (2 if conditional else 1)
    assert losses["total_loss"]["mi_loss"] == pytest.approx(parts[0].item(), rel=1e-5)


def add_critics(models, conditional):
    """A critic a level, of the size that the level has."""
    torch.manual_seed(3)
    for name in WEIGHTS:
        size = models["G"].level_dims[name]
        models[f"mi_critic_level_{name}"] = AdversarialMILoss(size, CLASSES if conditional else None, hidden=6)
    return models


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("conditional", [True, False])
def test_one_step_on_levels_equals_plain_pytorch(host, conditional):
    models, batch = add_critics(make_level_models(host), conditional), make_level_batch()
    twins = copy.deepcopy(models)
    hook, pre = MIMinimizationHook(conditional, levels=WEIGHTS), [LevelFeaturesHook(list(WEIGHTS))]
    _, losses = hook_step(host, models, {**batch, "progress": 0.1}, [hook], {"mi_loss": 0.7}, pre=pre)
    tap, parts = LevelTap(twins["G"]), []

    def extra(forward):
        for name, weight in WEIGHTS.items():
            critic = twins[f"mi_critic_level_{name}"]
            parts.append(0.7 * weight * slow_loss_of(critic, tap(name), forward, 0.1))
        return sum(parts)

    plain_step(host, twins, make_opts(twins), batch, extra)
    without_reversal = {name: value for name, value in states(twins).items() if "reversal" not in name}
    with_hook = {name: value for name, value in states(models).items() if "reversal" not in name}
    assert_same_states(with_hook, without_reversal, **CLOSE)
    assert models["G"].trunk.count == twins["G"].trunk.count == 2
    assert models["C"].count == twins["C"].count == (2 if conditional else 1)
    assert losses["total_loss"]["mi_loss"] == pytest.approx(sum(parts).item(), rel=1e-5)


@pytest.mark.parametrize("key", ["mi_critic_level_depth_0", "src_imgs_level_top_right"])
def test_missing_critic_or_level_is_named_and_no_model_is_called(key):
    models = add_critics(make_level_models(), conditional=True)
    levels = LevelFeaturesHook(list(WEIGHTS))({**models, **make_level_batch()})[0]
    context = {**models, **make_level_batch(), **levels}
    del context[key], context["src_imgs_features"], context["target_imgs_features"]
    models["G"].trunk.count = 0
    with pytest.raises(KeyError, match=f"MIMinimizationHook needs '{key}' in the context, got"):
        MIMinimizationHook(levels=WEIGHTS)(context)
    assert models["G"].trunk.count == models["C"].count == 0


@pytest.mark.parametrize("levels", [{}, {"global": -1.0}])
def test_bad_levels_are_refused(levels):
    with pytest.raises(ValueError, match="levels must be weights of at least 0 by name, at least one, got"):
        MIMinimizationHook(levels=levels)


def test_the_class_balance_follows_how_frequent_classes_are_and_not_how_certain_samples_are():
    """Two classes equally frequent in both domains, of which the network is sure of one only."""
    critic = AdversarialMILoss(DIM, 2, hidden=8)
    models = {**make_models(), "mi_critic": critic}
    sure, unsure = [0.99, 0.01], [0.01 + 0.49, 0.99 - 0.49]
    logits = torch.tensor([sure, [0.01, 0.99]] * (SIZE // 2)).log()
    batch = {**make_batch(), "src_labels": torch.arange(SIZE) % 2}
    features = {"target_imgs_features": torch.randn(SIZE, DIM), "target_imgs_features_logits": logits}
    MIMinimizationHook()({**models, **batch, **features})
    torch.testing.assert_close(critic.balance(torch.zeros(0, 2), torch.zeros(0).long()), torch.ones(2))
    for _ in range(200):
        logits = torch.tensor([sure, unsure] * (SIZE // 2)).log()
        MIMinimizationHook()({**models, **batch, **features, "target_imgs_features_logits": logits})
    # the probability mass of the target is 0.745 and 0.255 however little the second class's samples count
    expected = torch.tensor([(0.5 / 0.745) ** 2, (0.255 / 0.5) ** 2])
    torch.testing.assert_close(critic.balance(torch.zeros(0, 2), torch.zeros(0).long()), expected, rtol=1e-3, atol=0)


def test_defaults_are_conditional_and_warmed_up():
    hook = MIMinimizationHook()
    assert (hook.conditional, hook.strength, hook.warmup, hook.entropy_conditioning) == (True, 1.0, "linear", True)


def test_lists_of_logits_are_averaged_after_the_softmax():
    nets = [torch.nn.Linear(DIM, CLASSES) for _ in range(2)]
    models = {**make(conditional=True), "C": Several(*nets)}
    batch = make_batch()
    outputs, losses = MIMinimizationHook(warmup="none")({**models, **batch})
    target = outputs["target_imgs_features"]
    votes = sum(net(target).softmax(1) for net in nets) / 2
    probs = torch.cat([F.one_hot(batch["src_labels"], CLASSES), votes])
    weights = torch.cat([torch.ones(SIZE), references.certainty(votes)])
    logits = models["mi_critic"].critic(torch.cat([outputs["src_imgs_features"], target]))
    domains = SIZE * [0] + SIZE * [1]
    balanced = references.balanced_class_probs(torch.zeros(2, CLASSES), domains, probs, weights)
    expected = references.class_domain_cross_entropy(logits, domains, balanced)
    torch.testing.assert_close(losses["mi_loss"], expected)


def test_no_gradient_reaches_the_classifier():
    models = make(conditional=True)
    _, losses = MIMinimizationHook()({**models, **make_batch()})
    losses["mi_loss"].backward()
    assert all(parameter.grad is None for parameter in models["C"].parameters())


def test_keys_are_declared():
    names = {f"{domain}_imgs_features{kind}" for domain in ("src", "target") for kind in ("", "_logits")}
    assert set(MIMinimizationHook().out_keys) == names
    hook = MIMinimizationHook(conditional=False, loss_suffix="_a")
    assert set(hook.out_keys) == {"src_imgs_features", "target_imgs_features"}
    assert hook.loss_keys == ["mi_loss_a"]


def test_marginal_form_needs_neither_classifier_nor_labels():
    context = {**make(conditional=False), **make_batch()}
    del context["C"], context["src_labels"]
    _, losses = MIMinimizationHook(conditional=False)(context)
    assert losses["mi_loss"] > 0


@pytest.mark.parametrize("key", ["mi_critic", "G", "C", "src_imgs", "target_imgs", "src_labels"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(conditional=True), **make_batch()}
    del context[key]
    with pytest.raises(KeyError, match=rf"(?s)MIMinimizationHook needs '{key}'|in MIMinimizationHook.*{key}\W*$"):
        MIMinimizationHook()(context)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"src_labels": torch.full((SIZE,), CLASSES)}, ValueError, r"src_labels must be in 0..2, got .* from 3 to 3"),
        ({"src_labels": torch.full((SIZE,), -1)}, ValueError, r"src_labels must be in 0..2, got .* from -1 to -1"),
        ({"src_labels": torch.zeros(SIZE, 1).long()}, ValueError, r"src_labels must have shape \(8,\), got \(8, 1\)"),
        ({"src_labels": torch.zeros(SIZE)}, TypeError, "src_labels must be an integer tensor, got torch.float32"),
        ({"target_imgs": torch.full((SIZE, 6), torch.nan)}, ValueError, "features must be finite"),
        ({"progress": -0.5}, ValueError, "'progress' must be in 0..1, got -0.5"),
    ],
)
def test_bad_batch_says_what_was_wanted_and_what_came(changed, error, message):
    with pytest.raises(error, match=message) as caught:
        MIMinimizationHook()({**make(conditional=True), **make_batch(), **changed})
    assert "MIMinimizationHook" in str(caught.value)


def test_critic_of_the_other_form_is_refused():
    with pytest.raises(ValueError, match=r"class_probs must have shape \(16, 3\) for the conditional form"):
        MIMinimizationHook(conditional=False)({**make(conditional=True), **make_batch()})


def test_negative_strength_is_refused():
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        MIMinimizationHook(strength=-1.0)
