import copy
import warnings

import pytest
import torch

from dmsrl_adapt import (
    DMSRLHook,
    KnownTargetLabelsHook,
    MarginMetricHook,
    MIMinimizationHook,
    PseudoLabelHook,
    Recipe,
    SourceAccuracyHook,
    TargetClassificationHook,
)
from dmsrl_adapt.hooks.batch_check import warn_ignored
from dmsrl_adapt.labelers import ArgmaxLabeler
from dmsrl_adapt.losses import AdversarialMILoss, CosineMarginLoss
from dmsrl_adapt.parts import KnownTargetLabels
from dmsrl_adapt.recipe import get_recipe
from dmsrl_adapt.training import SourceAccuracy

from .. import references
from ..stand_ins import CLASSES, DIM, SIZE, assert_same_states, make_batch, make_models, make_opts, states
from ..test_dmsrl_hook import make
from .host_table import HOSTS, attach, host_batch, make_adapter, only
from .plain_steps import CLOSE, hook_step, make_discriminator, plain_step
from .plain_steps import HOSTS as PLAIN

KNOWN = torch.tensor([-1, 2, -1, 0, -1, -1, 1, -1])
LABELS = {"target_labels": KNOWN}
PASSED_ON = {"target_known_labels": KNOWN}


@pytest.mark.parametrize("host", PLAIN)
def test_one_step_equals_plain_pytorch(host):
    models, batch = make_models(), make_batch()
    models |= {"D": make_discriminator()} if host == "dann" else {}
    twins = copy.deepcopy(models)
    _, losses = hook_step(
        host,
        models,
        {**batch, **LABELS},
        [TargetClassificationHook(0.1)],
        {"target_c_loss": 0.3},
        pre=[KnownTargetLabelsHook()],
    )
    rows, parts = KNOWN >= 0, []

    def extra(forward):
        logits = forward.logits("target")[rows]
        parts.append(0.3 * references.smoothed_cross_entropy(logits, KNOWN[rows].tolist(), 0.1))
        return parts[0]

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert (models["G"].count, models["C"].count) == (twins["G"].count, twins["C"].count) == (2, 2)
    assert losses["total_loss"]["target_c_loss"] == pytest.approx(parts[0].item(), rel=1e-5)


def test_without_labels_no_class_is_known_and_the_loss_is_a_zero_with_a_gradient():
    models, batch = make_models(), make_batch()
    outputs, _ = KnownTargetLabelsHook()(batch)
    assert torch.equal(outputs["target_known_labels"], torch.full((SIZE,), -1))
    _, losses = TargetClassificationHook()({**models, **batch, **outputs})
    losses["target_c_loss"].backward()
    assert losses["target_c_loss"] == 0
    assert all(parameter.grad is not None for parameter in models["C"].parameters())


@pytest.mark.parametrize(
    ("hook", "key"), [(KnownTargetLabelsHook(), "target_imgs"), (TargetClassificationHook(), "target_known_labels")]
)
def test_missing_key_names_hook_and_key(hook, key):
    context = {**make_models(), **make_batch()}
    context.pop(key, None)
    with pytest.raises(KeyError, match=f"{type(hook).__name__} needs '{key}' in the context, got"):
        hook(context)


def test_several_classifiers_count_the_same():
    first, second = (torch.randn(SIZE, CLASSES) for _ in range(2))
    given = {"target_imgs_features": torch.zeros(SIZE, DIM), **make_models(), **make_batch(), **PASSED_ON}
    loss = [
        TargetClassificationHook()({**given, "target_imgs_features_logits": logits})[1]["target_c_loss"]
        for logits in (first, second, [first, second])
    ]
    torch.testing.assert_close(loss[2], (loss[0] + loss[1]) / 2)


def test_pseudo_labels_of_known_samples_are_their_labels_with_weight_1():
    """The warm-up holds back guesses, not what is known; and the labeller learns from it."""
    seen = []

    class Spy(ArgmaxLabeler):
        def step(self, *args):
            seen.append(args[-1])
            return super().step(*args)

    context = {**make_models(), "pseudo_labeler": Spy(), "progress": 0.25, **make_batch()}
    guessed, _ = PseudoLabelHook()(context)
    outputs, _ = PseudoLabelHook()({**context, **PASSED_ON})
    rows = KNOWN >= 0
    labels, weights = outputs["target_pseudo_labels"], outputs["target_pseudo_weights"]
    assert torch.equal(labels, torch.where(rows, KNOWN, guessed["target_pseudo_labels"]))
    assert weights.tolist() == [1.0 if known else 0.25 for known in rows]
    assert seen[0] is None
    assert torch.equal(seen[1], KNOWN)


@pytest.mark.parametrize("pseudo", [True, False])
def test_margin_takes_known_labels_in_place_of_guesses(pseudo):
    models, batch = {**make_models(), "margin_metric": CosineMarginLoss(CLASSES, DIM)}, make_batch()
    wrong = {"target_pseudo_labels": (KNOWN + 1) % CLASSES, "target_pseudo_weights": torch.full((SIZE,), 0.5)}
    given, rows = wrong if pseudo else {}, KNOWN >= 0
    right = {
        "target_pseudo_labels": torch.where(rows, KNOWN, wrong["target_pseudo_labels"] if pseudo else -1),
        "target_pseudo_weights": torch.where(rows, 1.0, 0.5 if pseudo else 1.0),
    }
    _, loss = MarginMetricHook()({**models, **batch, **given, **PASSED_ON})
    _, expected = MarginMetricHook()({**models, **batch, **right})
    assert torch.equal(loss["margin_metric_loss"], expected["margin_metric_loss"])


@pytest.mark.parametrize("entropy_conditioning", [True, False])
def test_mutual_information_takes_known_classes_for_certain(entropy_conditioning):
    critic = AdversarialMILoss(DIM, CLASSES, hidden=8)
    seen = []
    critic.register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    context = {**make_models(), "mi_critic": critic, **make_batch()}
    for labels in ({}, PASSED_ON):
        MIMinimizationHook(entropy_conditioning=entropy_conditioning)({**context, **labels})
    rows = KNOWN >= 0
    assert torch.equal(seen[1][SIZE:][rows], torch.nn.functional.one_hot(KNOWN[rows], CLASSES).float())
    assert torch.equal(seen[1][SIZE:][~rows], seen[0][SIZE:][~rows])
    assert torch.equal(seen[1][:SIZE], seen[0][:SIZE])


@pytest.mark.parametrize(
    "hook", [PseudoLabelHook(), MarginMetricHook(), MIMinimizationHook(), TargetClassificationHook()]
)
def test_labels_of_the_wrong_shape_are_an_error_in_every_hook(hook):
    ours = {"margin_metric": CosineMarginLoss(CLASSES, DIM), "mi_critic": AdversarialMILoss(DIM, CLASSES)}
    context = {**make_models(), **ours, "pseudo_labeler": ArgmaxLabeler(), **make_batch()}
    with pytest.raises(ValueError, match=r"labels must have shape \(8,\), got \(3,\)"):
        hook({**context, "target_known_labels": torch.zeros(3).long()})


@pytest.mark.parametrize("recipe", ["default", "published"])
def test_labels_of_which_none_is_known_change_nothing(recipe):
    """To the last bit, under a weighter that would notice one loss more."""
    results = []
    for labels in ({}, {"target_labels": torch.full((SIZE,), -1)}):
        models, misc = make(Recipe(*get_recipe(recipe), *([KnownTargetLabels()] if labels else [])))
        opts = make_opts(models)
        for number in range(3):
            _, losses = DMSRLHook(opts)({**models, **misc, **make_batch(number), **labels})
        results.append((losses["total_loss"], states({**models, **misc})))
    assert results[0][0] == {key: x for key, x in results[1][0].items() if key != "target_c_loss"}
    assert results[1][0]["target_c_loss"] == 0
    assert_same_states(results[0][1], results[1][1])


@pytest.mark.parametrize("name", ["DANN", "MCD", "ADDA", "Finetuner", "SymNets"])
def test_attached_to_a_host_known_labels_join_its_step(name):
    host, found = HOSTS[name], []
    for labels in ({}, LABELS):
        adapter = attach(make_adapter(host), Recipe(*only(["pseudo_labels"]), KnownTargetLabels()))
        losses = adapter.training_step({**host_batch(), **labels})
        found.append((losses[host.step], states(dict(adapter.models))))
    assert found[1][0]["target_c_loss"] > found[0][0]["target_c_loss"] == 0
    # of what the host keeps fixed in that step nothing learns
    moved = {key.split(".")[0] for key, x in found[0][1].items() if not torch.equal(x, found[1][1][key])}
    assert set(host.learners) <= moved
    assert not moved & set(host.fixed)


def test_weight_of_the_loss_in_a_host():
    labelled = {**host_batch(), **LABELS}
    losses = []
    for weight in (1.0, 0.5):
        adapter = attach(
            make_adapter(HOSTS["DANN"]),
            Recipe(*only(["pseudo_labels"]), KnownTargetLabels()),
            weights={"target_c_loss": weight},
        )
        losses.append(adapter.training_step(labelled))
    parts = [one["total_loss"]["target_c_loss"] for one in losses]
    assert parts[1] == pytest.approx(parts[0] / 2)


@pytest.mark.parametrize("hook", [PseudoLabelHook(), MarginMetricHook(), MIMinimizationHook(), SourceAccuracyHook()])
def test_no_hook_reads_labels_that_were_not_passed_on(hook):
    """A data set may carry them for scoring: what they are makes no difference, not even where they are wrong."""
    torch.manual_seed(0)
    ours = {"margin_metric": CosineMarginLoss(CLASSES, DIM), "mi_critic": AdversarialMILoss(DIM, CLASSES)}
    context = {**make_models(), **ours, "pseudo_labeler": ArgmaxLabeler(), **make_batch()}
    context["source_accuracy"] = SourceAccuracy(CLASSES)
    found = []
    for labels in ({}, LABELS, {"target_labels": torch.full((3,), 99.0)}):
        outputs, losses = copy.deepcopy(hook)({**copy.deepcopy(context), **labels})
        found.append({**losses, **{key: x for key, x in outputs.items() if "pseudo" in key}})
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        assert all(torch.equal(other[key], found[0][key]) for key in other)


@pytest.mark.parametrize("name", ["DMSRL", "DANN", "MCD"])
def test_without_the_part_labels_train_nothing_and_a_warning_says_so_once(name):
    warn_ignored.cache_clear()
    states_of = []
    for labels in ({}, LABELS):
        if name == "DMSRL":
            models, misc = make("default")
            hook = DMSRLHook(make_opts(models))
            step = lambda batch, hook=hook, both={**models, **misc}: hook({**both, **batch})  # noqa: E731
        else:
            adapter = attach(make_adapter(HOSTS[name]), only(["pseudo_labels", "margin", "mi"]))
            models, step = adapter.models, adapter.training_step
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(3):
                torch.manual_seed(number)
                step({**host_batch(seed=number), **labels})
        told = [str(one.message) for one in caught if "target_labels are ignored" in str(one.message)]
        assert len(told) == bool(labels)
        states_of.append(states(dict(models)))
    assert_same_states(*states_of)
