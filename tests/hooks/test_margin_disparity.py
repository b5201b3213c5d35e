import copy

import pytest
import torch

from dmsrl_adapt import MarginDisparityHook, Recipe, attach_dmsrl, dmsrl_components
from dmsrl_adapt.losses import MarginDisparityLoss
from dmsrl_adapt.parts import MarginDisparity

from .. import references
from ..stand_ins import CLASSES, DIM, NUM_TARGET, SIZE, Several, assert_same_states, make_batch, make_models, make_opts
from ..stand_ins import states as states_of
from .host_table import HOSTS, make_adapter
from .plain_steps import CLOSE, hook_step, make_discriminator, plain_step, reverse


def make(host="classifier"):
    torch.manual_seed(3)
    models = {**make_models(), "margin_metric": MarginDisparityLoss(CLASSES, DIM, hidden=6)}
    return {**models, "D": make_discriminator()} if host == "dann" else models


@pytest.mark.parametrize("host", ["classifier", "dann"])
@pytest.mark.parametrize(
    ("settings", "given", "strength"),
    [({}, {}, 0.1), ({"strength": 2.0, "warmup": "linear"}, {"progress": 0.25}, 0.5), ({}, {"progress": 0.0}, 0.0)],
)
def test_one_step_equals_plain_pytorch(host, settings, given, strength):
    models, batch = make(host), make_batch()
    twins = copy.deepcopy(models)
    hook = MarginDisparityHook(**settings)
    _, losses = hook_step(host, models, {**batch, **given}, [hook], {"margin_metric_loss": 0.3})
    parts = []

    def extra(forward):
        rows = [twins["margin_metric"].head(reverse(forward.features[one], strength)) for one in ("src", "target")]
        classes = torch.cat([forward.logits(one).argmax(1) for one in ("src", "target")]).tolist()
        parts.append(references.margin_disparity(torch.cat(rows), classes, SIZE * [0] + SIZE * [1], 4.0))
        return 0.3 * parts[0]

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert_same_states(states_of(models), states_of(twins), **CLOSE)
    assert models["G"].count == twins["G"].count == 2
    assert models["C"].count == twins["C"].count == 2
    assert losses["total_loss"]["margin_metric_loss"] == pytest.approx(0.3 * parts[0].item(), rel=1e-5)


@pytest.mark.parametrize(
    "name", [name for name, host in HOSTS.items() if "margin" not in host.refused and name != "ADDA"]
)
def test_every_host_that_takes_a_margin_takes_it(name):
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, Recipe(MarginDisparity(weight=0.5)), total_steps=4)
    adapter = attach_dmsrl(make_adapter(HOSTS[name]), parts)
    before = {key: value.clone() for key, value in parts.models["margin_metric"].state_dict().items()}
    losses = adapter.training_step(make_batch())[HOSTS[name].step]
    assert losses["margin_metric_loss"] > 0
    after = parts.models["margin_metric"].state_dict()
    assert not any(torch.equal(before[key], after[key]) for key in before)


def test_several_classifiers_predict_by_their_mean():
    C = Several(*(torch.nn.Linear(DIM, CLASSES) for _ in range(2)))
    models, batch = {**make(), "C": C}, make_batch()
    _, losses = MarginDisparityHook()({**models, **batch})
    features = {one: models["G"](batch[f"{one}_imgs"]) for one in ("src", "target")}
    classes = [sum(logits.softmax(1) for logits in C(rows)).argmax(1) for rows in features.values()]
    domains = torch.arange(2).repeat_interleave(SIZE)
    expected = models["margin_metric"](torch.cat([*features.values()]), torch.cat(classes), domains)
    torch.testing.assert_close(losses["margin_metric_loss"], expected)


def test_fixed_source_network_refuses_it():
    with pytest.raises(ValueError, match="ADDAHook refuses: margin"):
        parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, Recipe(MarginDisparity(weight=0.5)))
        attach_dmsrl(make_adapter(HOSTS["ADDA"]), parts)


def test_keys_are_declared():
    hook = MarginDisparityHook(loss_prefix="a_")
    assert hook.loss_keys == ["a_margin_metric_loss"]
    written = {f"{one}_imgs_features" for one in ("src", "target")}
    assert set(hook.out_keys) == written | {f"{one}_logits" for one in written}


@pytest.mark.parametrize("key", ["margin_metric", "G", "C", "src_imgs", "target_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_batch()}
    del context[key]
    with pytest.raises(KeyError, match=rf"(?s)MarginDisparityHook needs '{key}'|in MarginDisparityHook.*{key}\W*$"):
        MarginDisparityHook()(context)


def test_negative_strength_is_refused():
    with pytest.raises(ValueError, match=r"strength must be finite and at least 0, got -1\.0"):
        MarginDisparityHook(strength=-1.0)
