import copy

import pytest
import torch

from dmsrl_adapt import MarginMetricHook, MarginMetricLoss
from dmsrl_adapt.layers import CosineMarginLoss

from .. import references
from ..stand_ins import CLASSES, DIM, SIZE, assert_same_states, make_batch, make_models, make_opts, states
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
    features = torch.cat([forward.features["src"], forward.features["target"]])
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
