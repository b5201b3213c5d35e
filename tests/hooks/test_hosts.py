"""Every row of docs/hosts.md: parts of DMSRL, alone and together, in every training method of pytorch-adapt."""

import pytest
import torch
from pytorch_adapt.hooks import StrongDHook
from torch import nn

from dmsrl_adapt import LevelFeaturesHook, MarginMetricHook, MIMinimizationHook
from dmsrl_adapt.hooks.host_weighter import HostWeighter
from dmsrl_adapt.losses import AdversarialMILoss, CosineMarginLoss
from dmsrl_adapt.parts import ArgmaxLabels

from ..scripts import ROOT
from ..stand_ins import CLASSES, DIM
from .host_table import FOUR, HOSTS, NO_HOSTS, PARTS, Passes, attach, host_batch, make_adapter, only, page, why_not

LOSSES = {"margin": "margin_metric_loss", "mi": "mi_loss", "mcc": "mcc_loss", "consistency": "consistency_loss"}
OWN = {"margin": "margin_metric", "mi": "mi_critic"}
ALONE_AND_TOGETHER = [("margin",), ("mi",), ("pseudo_labels",), ("mcc",), ("margin", "pseudo_labels"), FOUR]
STEPS = 3


def fitting(host, parts):
    """Those of the parts that the host takes."""
    return [part for part in parts if part not in host.refused]


def pairs(combinations):
    """Names of hosts with each combination of parts that they take as a whole."""
    for name, host in HOSTS.items():
        for parts in combinations:
            taken = parts if parts != FOUR else fitting(host, FOUR)
            # without labels of the target and with a fixed network of the source no margin moves anything
            if taken and set(taken) <= set(host.taken) and not (name == "ADDA" and taken == ("margin",)):
                yield pytest.param(name, list(taken), id=f"{name}-{'+'.join(taken)}")


def gradients(adapter, batch, step):
    """Gradients of every model by its key, at the end of one of the host's steps; losses of the whole step."""
    seen = []

    def backward(loss):
        loss.backward()
        both = {key: [p.grad for p in model.parameters()] for key, model in adapter.models.items()}
        seen.append({key: [None if g is None else g.clone() for g in grads] for key, grads in both.items()})

    torch.manual_seed(3)  # of VADA's noise
    losses = adapter.training_step(batch, custom_backward=backward)
    return seen[list(losses).index(step)], losses


def is_other(first, second):
    """Whether any of the gradients differ, none and zero being the same."""
    pairs_of_them = zip(first, second, strict=True)
    both = [(torch.zeros(1) if a is None else a, torch.zeros(1) if b is None else b) for a, b in pairs_of_them]
    return any(not torch.equal(*torch.broadcast_tensors(a, b)) for a, b in both)


def test_page_is_made_from_the_table():
    """`python -m tests.hooks.host_table > docs/hosts.md` makes it anew."""
    assert (ROOT / "docs" / "hosts.md").read_text() == page()


@pytest.mark.parametrize(("name", "parts"), list(pairs(ALONE_AND_TOGETHER)))
def test_gradient_reaches_what_it_should_and_nothing_else(name, parts):
    host, recipe = HOSTS[name], only(parts)
    if "pseudo_labels" in parts:  # labels from the first batch on
        recipe = recipe.replace(ArgmaxLabels())
    alone, (extended, steps) = make_adapter(host), (attach(make_adapter(host), recipe), host.step)
    before, host_losses = gradients(alone, host_batch(), steps)
    after, losses = gradients(extended, host_batch(), steps)
    stepped = {opt.removesuffix("_opt") for opt in extended.hook.step.optimizers}
    reached = {key for key in alone.models if is_other(before[key], after[key])}
    features = set(host.learners) - {"C"}
    wanted = {"margin": features, "mi": features, "pseudo_labels": set(), "mcc": set(host.learners)}
    assert reached & stepped == set().union(*(wanted[part] for part in parts))
    assert reached & set(host.fixed) == set()
    assert all(extended.models[key].training == alone.models[key].training for key in set(alone.models) - {"C"})
    own = {OWN[part] for part in parts if part in OWN}
    assert {key for key in own if is_other(after[key], [None] * len(after[key]))} == own == stepped & set(OWN.values())
    ours = {LOSSES[part] for part in parts if part in LOSSES}
    assert set(losses[host.step]) == set(host_losses[host.step]) | ours
    assert torch.tensor([x for one in losses.values() for x in one.values()]).isfinite().all()


@pytest.mark.parametrize("name", HOSTS)
def test_host_is_to_the_last_bit_what_it_was_where_our_losses_weigh_0(name):
    host = HOSTS[name]
    parts = fitting(host, FOUR)
    alone, extended = make_adapter(host), make_adapter(host)
    attach(extended, only(parts), weights={LOSSES[part]: 0.0 for part in parts if part in LOSSES})
    for seed in range(STEPS):
        torch.manual_seed(seed)
        host_losses = alone.training_step(host_batch(seed=seed))
        torch.manual_seed(seed)
        losses = extended.training_step(host_batch(seed=seed))
        for step, components in host_losses.items():
            assert {key: losses[step][key] for key in components} == components
        assert {losses[host.step][LOSSES[part]] for part in parts if part in LOSSES} <= {0.0}
        for key, model in alone.models.items():
            for old, new in zip(model.parameters(), extended.models[key].parameters(), strict=True):
                assert torch.equal(old, new), key


@pytest.mark.parametrize("name", HOSTS)
def test_our_losses_leave_the_weights_of_the_hosts_own(name):
    host = HOSTS[name]
    alone, extended = make_adapter(host), attach(make_adapter(host), only(fitting(host, FOUR)))
    torch.manual_seed(0)
    host_losses = alone.training_step(host_batch())
    torch.manual_seed(0)
    losses = extended.training_step(host_batch())[host.step]
    components = host_losses[host.step]
    assert {key: losses[key] for key in components if key != "total"} == {
        key: x for key, x in components.items() if key != "total"
    }
    ours = sum(x for key, x in losses.items() if key not in components)
    assert ours > 0
    assert losses["total"] == pytest.approx(components["total"] + ours, rel=1e-5)


@pytest.mark.parametrize("name", HOSTS)
def test_one_line_gives_every_part_that_the_host_takes_at_the_passes_of_the_table(name):
    host = HOSTS[name]
    counts = []
    for parts in ([], fitting(host, FOUR), host.taken):
        adapter = make_adapter(host, on_images=True)
        if parts:
            attach(adapter, only(parts))
        passes = Passes(adapter)
        losses = adapter.training_step(host_batch(on_images=True))
        counts.append((passes.g, passes.c))
        assert torch.tensor([x for one in losses.values() for x in one.values()]).isfinite().all()
        assert {LOSSES[part] for part in parts if part in LOSSES} <= set(losses[host.step])
    assert tuple(zip(*counts, strict=True)) == (host.passes_g, host.passes_c)
    default = attach(make_adapter(host, on_images=True), None)
    assert list(default.hook.recipe.kinds) == host.taken
    for seed in range(STEPS):
        losses = default.training_step(host_batch(on_images=True, seed=seed))
        assert torch.tensor([x for one in losses.values() for x in one.values()]).isfinite().all()
    assert default.misc["training_progress"].step == STEPS


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if "consistency" in host.taken])
def test_consistency_and_augmentation_reach_what_they_should(name):
    host = HOSTS[name]
    extended = attach(
        make_adapter(host, on_images=True), only(["augmentation", "consistency"]), weights={LOSSES["consistency"]: 0.0}
    )
    other = attach(make_adapter(host, on_images=True), only(["augmentation", "consistency"]))
    seen = []
    for adapter in (extended, other):
        seen.append(gradients(adapter, host_batch(on_images=True), host.step)[0])
    stepped = {opt.removesuffix("_opt") for opt in other.hook.step.optimizers}
    assert {key for key in stepped if is_other(seen[0][key], seen[1][key])} == set(host.learners)


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if not host.fixed])
def test_levels_of_the_features_in_every_host_without_a_further_pass(name):
    host = HOSTS[name]
    adapter = make_adapter(host, on_images=True)
    passes, levels = Passes(adapter), {"global": 1.0, "depth_0": 0.5}
    level_modules = {"depth_0": 3, "global": 4}
    for level, dim in level_modules.items():
        adapter.models[f"margin_metric_level_{level}"] = CosineMarginLoss(CLASSES, dim)
        adapter.models[f"mi_critic_level_{level}"] = AdversarialMILoss(dim, CLASSES)
    keys = [f"{part}_level_{level}" for part in OWN.values() for level in levels]
    adapter.optimizers.update({key: torch.optim.SGD(adapter.models[key].parameters(), lr=0.1) for key in keys})
    before = {key: [p.clone() for p in adapter.models[key].parameters()] for key in ("G", *keys)}
    attach(
        adapter,
        only(["pseudo_labels"]),
        opts=[f"{key}_opt" for key in keys],
        pre=[LevelFeaturesHook(list(levels))],
        post=[MarginMetricHook(levels=levels), MIMinimizationHook(levels=levels, warmup="none")],
        weights={"margin_metric_loss": 0.2},
    )
    losses = adapter.training_step(host_batch(on_images=True))
    assert {"margin_metric_loss", "mi_loss"} <= set(losses[host.step])
    assert torch.tensor([x for one in losses.values() for x in one.values()]).isfinite().all()
    assert passes.g <= host.passes_g[1]
    for key, old in before.items():
        assert any(not torch.equal(a, b) for a, b in zip(old, adapter.models[key].parameters(), strict=True)), key


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.fixed])
def test_levels_are_refused_where_a_network_is_fixed(name):
    with pytest.raises(ValueError, match=r"pre must be empty for .*, which computes features with a fixed network"):
        attach(make_adapter(HOSTS[name]), None, pre=[LevelFeaturesHook()])


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, host in HOSTS.items() for part in PARTS if part in host.refused]
)
def test_refused_part_says_why_and_leaves_the_host_as_it_was(name, part):
    adapter = make_adapter(HOSTS[name])
    models, optimizers = dict(adapter.models), dict(adapter.optimizers)
    with pytest.raises(ValueError, match=rf"recipe must not have parts that \w+Hook refuses: {part}: it"):
        attach(adapter, only([part]))
    assert type(adapter.hook) is adapter.hook_cls
    assert (dict(adapter.models), dict(adapter.optimizers)) == (models, optimizers)
    assert not any(
        isinstance(one.weighter, HostWeighter) for one in adapter.hook.hook.hooks if hasattr(one, "weighter")
    )


def test_margin_without_labels_of_the_target_is_refused_where_the_source_is_fixed():
    with pytest.raises(ValueError, match="margin: it keeps the source's network fixed, and without pseudo labels no"):
        attach(make_adapter(HOSTS["ADDA"]), only(["margin"]))


@pytest.mark.parametrize("name", NO_HOSTS)
def test_what_can_have_no_part_says_why(name):
    wanted = "optimizer step of its own" if name == "AdaBN" else "its samples have several labels each"
    assert wanted in why_not(name)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_adda_is_what_it_was_whether_its_discriminator_is_strong_or_not(threshold):
    """Where it is not, the target's network has no gradient, so that momentum must not move it either."""
    host = HOSTS["ADDA"]
    alone, extended = (make_adapter(host, threshold=threshold) for _ in range(2))
    weights = {LOSSES[part]: 0.0 for part in ("margin", "mi", "mcc")}
    attach(extended, only(FOUR), weights=weights)
    for adapter in (alone, extended):
        opt, model = adapter.optimizers["T"], adapter.models["T"]
        for parameter in model.parameters():
            opt.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
    start = [p.clone() for p in alone.models["T"].parameters()]
    for adapter in (alone, extended):
        adapter.training_step(host_batch())
    for old, new in zip(alone.models["T"].parameters(), extended.models["T"].parameters(), strict=True):
        assert torch.equal(old, new)
    moved = any(not torch.equal(a, b) for a, b in zip(start, alone.models["T"].parameters(), strict=True))
    assert moved == (threshold == 0.0)


def test_networks_that_adda_keeps_fixed_get_no_gradient_and_no_batch_statistics():
    host = HOSTS["ADDA"]
    adapter = make_adapter(host)
    adapter.models["C"] = nn.Sequential(nn.BatchNorm1d(DIM), nn.Linear(DIM, CLASSES))
    attach(adapter, only(FOUR))
    before = {key: {k: v.clone() for k, v in adapter.models[key].state_dict().items()} for key in ("G", "C")}
    for seed in range(STEPS):
        adapter.training_step(host_batch(seed=seed))
    for key, state in before.items():
        assert all(parameter.grad is None for parameter in adapter.models[key].parameters())
        assert all(torch.equal(state[k], v) for k, v in adapter.models[key].state_dict().items())


def test_conditions_of_adda_are_where_they_were():
    adapter = attach(make_adapter(HOSTS["ADDA"]), None)
    (condition, *_) = adapter.hook.step.hook.hooks[0].conditions
    assert isinstance(condition, StrongDHook)
