import copy

import pytest
import torch
from pytorch_adapt.hooks import MCCHook

from dmsrl_adapt import MarginMetricHook, WarmUpHook
from dmsrl_adapt.losses import CosineMarginLoss

from .. import references
from ..stand_ins import CLASSES, DIM, SIZE, assert_same_states, make_batch, make_models, make_opts, states
from .plain_steps import HOSTS, hook_step, make_discriminator, plain_step


def make(host="classifier"):
    models = {**make_models(), "margin_metric": CosineMarginLoss(CLASSES, DIM)}
    return {**models, "D": make_discriminator()} if host == "dann" else models


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("progress", [None, 0.0, 0.1, 1.0])
def test_one_step_equals_plain_pytorch(host, progress):
    models, batch = make(host), make_batch()
    twins, parts = copy.deepcopy(models), []
    given = {} if progress is None else {"progress": progress}
    hooks, weights = [WarmUpHook(MarginMetricHook()), WarmUpHook(MCCHook())], {"margin_metric_loss": 0.3}
    _, losses = hook_step(host, models, {**batch, **given}, hooks, weights)
    # at full strength where nothing tells the progress
    factor = 1.0 if progress is None else references.ramp(progress)

    def extra(forward):
        features, layer = torch.cat([forward.features["src"], forward.features["target"]]), twins["margin_metric"]
        labels, domains = batch["src_labels"].tolist() + SIZE * [-1], SIZE * [0] + SIZE * [1]
        args = features, labels, domains, 2 * SIZE * [1.0], layer.prototypes, layer.scale, layer.margin
        parts.append(0.3 * factor * references.cosine_margin_loss(*args))
        parts.append(factor * references.class_confusion(forward.logits("target"), 1.0))
        return sum(parts)

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert_same_states(states(models), states(twins), rtol=1e-3, atol=1e-5)
    assert models["G"].count == twins["G"].count == 2
    assert models["C"].count == twins["C"].count == 2
    seen = [losses["total_loss"][key] for key in ("margin_metric_loss", "mcc_loss")]
    assert seen == pytest.approx([part.item() for part in parts], rel=1e-4)


def test_at_the_start_the_loss_is_a_zero_that_has_a_gradient():
    models = make()
    _, losses = WarmUpHook(MarginMetricHook())({**models, **make_batch(), "progress": 0.0})
    losses["margin_metric_loss"].backward()
    assert losses["margin_metric_loss"] == 0
    assert all(parameter.grad is not None for parameter in models["G"].parameters())


def test_outputs_are_those_of_the_other_hook():
    context = {**make(), **make_batch(), "progress": 0.1}
    outputs, _ = WarmUpHook(MarginMetricHook())(context)
    expected, _ = MarginMetricHook()(context)
    assert outputs.keys() == expected.keys()
    assert all(torch.equal(outputs[key], expected[key]) for key in expected)


def test_keys_are_declared():
    hook = WarmUpHook(MarginMetricHook(loss_prefix="a_"), loss_suffix="_b")
    assert hook.loss_keys == ["a_margin_metric_loss_b"]
    assert set(hook.out_keys) == {"src_imgs_features", "target_imgs_features"}
    _, losses = hook({**make(), **make_batch()})
    assert losses.keys() == {"a_margin_metric_loss_b"}


@pytest.mark.parametrize("progress", [-0.5, 1.5])
def test_bad_progress_is_refused_before_the_other_hook_runs(progress):
    models = make()
    with pytest.raises(ValueError, match=rf"(?s)WarmUpHook.*'progress' must be in 0\.\.1, got {progress}"):
        WarmUpHook(MarginMetricHook())({**models, **make_batch(), "progress": progress})
    assert models["G"].count == 0
