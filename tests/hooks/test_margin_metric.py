import copy

import pytest
import torch

from dmsrl_adapt import LevelFeaturesHook, MarginMetricHook, MarginMetricLoss
from dmsrl_adapt.losses import CosineMarginLoss

from .. import references
from ..stand_ins import CLASSES, DIM, SIZE, assert_same_states, make_batch, make_models, make_opts, states
from .level_models import WEIGHTS, LevelTap, make_level_batch, make_level_models
from .plain_steps import CLOSE, HOSTS, hook_step, make_discriminator, plain_step

PSEUDO = {
    "target_pseudo_labels": torch.tensor([0, -1, 2, 1, 0, -1, 2, 2]),
    "target_pseudo_weights": torch.tensor([1.0, 0.0, 0.5, 0.25, 0.0, 0.0, 1.0, 0.75]),
}


def make_layer(form):
    torch.manual_seed(3)
    return MarginMetricLoss(CLASSES, DIM, margin=9.0) if form == "centers" else CosineMarginLoss(CLASSES, DIM)


def make(form, host="classifier"):
    models = {**make_models(), "margin_metric": make_layer(form)}
    return {**models, "D": make_discriminator()} if host == "dann" else models


def slow_loss(layer, forward, labels, weights):
    """The reference over both domains of a plain step, source first."""
    return slow_loss_of(layer, torch.cat([forward.features["src"], forward.features["target"]]), labels, weights)


def slow_loss_of(layer, features, labels, weights):
    domains = SIZE * [0] + SIZE * [1]
    if isinstance(layer, MarginMetricLoss):
        args = layer.centers, layer.margin, layer.gap_weight
        return references.margin_metric_loss(features, labels, domains, weights, *args)
    args = layer.prototypes, layer.scale, layer.margin
    return references.cosine_margin_loss(features, labels, domains, weights, *args)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("form", ["centers", "cosine"])
@pytest.mark.parametrize("pseudo", [{}, PSEUDO])
def test_one_step_equals_plain_pytorch(host, form, pseudo):
    models, batch = make(form, host), make_batch()
    twins = copy.deepcopy(models)
    _, losses = hook_step(host, models, {**batch, **pseudo}, [MarginMetricHook()], {"margin_metric_loss": 0.3})
    target_labels = pseudo["target_pseudo_labels"].tolist() if pseudo else SIZE * [-1]
    target_weights = pseudo["target_pseudo_weights"].tolist() if pseudo else SIZE * [1.0]
    labels, weights = [*batch["src_labels"].tolist(), *target_labels], [*(SIZE * [1.0]), *target_weights]
    parts = []

    def extra(forward):
        parts.append(0.3 * slow_loss(twins["margin_metric"], forward, labels, weights))
        return parts[0]

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].count == twins["G"].count == 2
    assert models["C"].count == twins["C"].count == 1
    assert losses["total_loss"]["margin_metric_loss"] == pytest.approx(parts[0].item(), rel=1e-5)


def add_layers(models, form):
    """A layer a level, of the size that the level has."""
    for name in WEIGHTS:
        torch.manual_seed(3)
        settings = CLASSES, models["G"].level_dims[name]
        layer = MarginMetricLoss(*settings, margin=9.0) if form == "centers" else CosineMarginLoss(*settings)
        models[f"margin_metric_level_{name}"] = layer
    return models


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("form", ["centers", "cosine"])
def test_one_step_on_levels_equals_plain_pytorch(host, form):
    models, batch = add_layers(make_level_models(host), form), make_level_batch()
    twins = copy.deepcopy(models)
    hook, pre = MarginMetricHook(levels=WEIGHTS), [LevelFeaturesHook(list(WEIGHTS))]
    _, losses = hook_step(host, models, {**batch, **PSEUDO}, [hook], {"margin_metric_loss": 0.3}, pre=pre)
    labels = [*batch["src_labels"].tolist(), *PSEUDO["target_pseudo_labels"].tolist()]
    weights = [*(SIZE * [1.0]), *PSEUDO["target_pseudo_weights"].tolist()]
    tap, parts = LevelTap(twins["G"]), []

    def extra(forward):
        for name, weight in WEIGHTS.items():
            of_level = slow_loss_of(twins[f"margin_metric_level_{name}"], tap(name), labels, weights)
            parts.append(0.3 * weight * of_level)
        return sum(parts)

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].trunk.count == twins["G"].trunk.count == 2
    assert models["C"].count == twins["C"].count == 1
    assert losses["total_loss"]["margin_metric_loss"] == pytest.approx(sum(parts).item(), rel=1e-5)


def test_a_level_of_weight_1_is_the_loss_of_that_feature():
    features = {f"{domain}_imgs_level_a": torch.randn(SIZE, DIM) for domain in ("src", "target")}
    usual = {key.replace("level_a", "features"): value for key, value in features.items()}
    layer = make_layer("cosine")
    _, of_level = MarginMetricHook(levels={"a": 1.0})({"margin_metric_level_a": layer, **make_batch(), **features})
    _, expected = MarginMetricHook()({**make_models(), "margin_metric": layer, **make_batch(), **usual})
    assert torch.equal(of_level["margin_metric_loss"], expected["margin_metric_loss"])


@pytest.mark.parametrize("key", ["margin_metric_level_depth_0", "target_imgs_level_top_right"])
def test_missing_layer_or_level_is_named_and_no_model_is_called(key):
    models = add_layers(make_level_models(), "cosine")
    levels = LevelFeaturesHook(list(WEIGHTS))({**models, **make_level_batch()})[0]
    context = {**models, **make_level_batch(), **levels}
    del context[key], context["src_imgs_features"], context["target_imgs_features"]
    models["G"].trunk.count = 0
    with pytest.raises(KeyError, match=f"MarginMetricHook needs '{key}' in the context, got"):
        MarginMetricHook(levels=WEIGHTS)(context)
    assert models["G"].trunk.count == 0


@pytest.mark.parametrize("levels", [{}, {"global": -1.0}])
def test_bad_levels_are_refused(levels):
    with pytest.raises(ValueError, match="levels must be weights of at least 0 by name, at least one, got"):
        MarginMetricHook(levels=levels)


def test_features_that_are_there_are_used_and_no_model_is_called():
    models, layer = make_models(), make_layer("cosine")
    features = {f"{domain}_imgs_features": torch.randn(SIZE, DIM, requires_grad=True) for domain in ("src", "target")}
    outputs, losses = MarginMetricHook()({**models, "margin_metric": layer, **make_batch(), **features})
    assert outputs == {}
    assert models["G"].count == 0
    losses["margin_metric_loss"].backward()
    assert features["src_imgs_features"].grad.abs().sum() > 0
    assert features["target_imgs_features"].grad.abs().sum() == 0


def test_source_alone_needs_no_target():
    models = make("cosine")
    batch = {key: value for key, value in make_batch().items() if key.startswith("src")}
    outputs, losses = MarginMetricHook(domains=["src"])({**models, **batch})
    assert outputs.keys() == {"src_imgs_features"}
    assert losses["margin_metric_loss"] > 0
    assert models["G"].count == 1


def test_keys_are_declared():
    hook = MarginMetricHook(loss_prefix="a_")
    assert hook.loss_keys == ["a_margin_metric_loss"]
    assert set(hook.out_keys) == {"src_imgs_features", "target_imgs_features"}
    assert MarginMetricHook(levels=WEIGHTS).out_keys == []


@pytest.mark.parametrize("key", ["margin_metric", "G", "src_imgs", "target_imgs", "src_labels"])
def test_missing_key_names_hook_and_key(key):
    context = {**make("cosine"), **make_batch()}
    del context[key]
    with pytest.raises(KeyError, match=rf"(?s)MarginMetricHook needs '{key}'|in MarginMetricHook.*{key}\W*$"):
        MarginMetricHook()(context)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"src_labels": torch.full((SIZE,), CLASSES)}, ValueError, r"labels must be in -1..2, got .* to 3"),
        ({"src_labels": torch.zeros(SIZE, 1).long()}, ValueError, r"src labels must have shape \(8,\), got \(8, 1\)"),
        ({"src_imgs": torch.full((SIZE, 6), torch.nan)}, ValueError, "features must be finite"),
        ({"target_pseudo_labels": torch.zeros(3).long()}, ValueError, r"target labels must have shape \(8,\), got"),
        ({"target_pseudo_weights": torch.zeros(3)}, ValueError, r"target weights must have shape \(8,\), got \(3,\)"),
    ],
)
def test_bad_batch_says_what_was_wanted_and_what_came(changed, error, message):
    with pytest.raises(error, match=message) as caught:
        MarginMetricHook()({**make("cosine"), **make_batch(), **changed})
    assert "MarginMetricHook" in str(caught.value)
