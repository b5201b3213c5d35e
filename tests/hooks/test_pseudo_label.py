import copy

import pytest
import torch
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from dmsrl_adapt import DMSRLHook, MarginMetricHook, PrototypeLabeler, PseudoLabelHook
from dmsrl_adapt.labelers import ArgmaxLabeler
from dmsrl_adapt.losses import CosineMarginLoss
from dmsrl_adapt.recipe import DEFAULT
from dmsrl_adapt.training import SourceAccuracy, TrainingProgress

from .. import references
from ..stand_ins import (
    CLASSES,
    DIM,
    NUM_TARGET,
    SIZE,
    Several,
    assert_same_states,
    make_batch,
    make_models,
    make_opts,
    states,
)
from .plain_steps import CLOSE, HOSTS, hook_step, make_discriminator, plain_step

LOGITS = "target_imgs_features_logits"


def make_labeler(kind="prototypes"):
    return PrototypeLabeler(CLASSES, DIM, NUM_TARGET) if kind == "prototypes" else ArgmaxLabeler()


def make_context(**changed):
    return {**make_models(), "pseudo_labeler": make_labeler(), **make_batch(), **changed}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", ["prototypes", "argmax"])
@pytest.mark.parametrize(
    ("warmup", "progress"), [("linear", [0.3, 0.0, 1.0]), ("none", [0.3, 0.0, 1.0]), ("linear", None)]
)
def test_several_steps_equal_plain_pytorch(host, kind, warmup, progress):
    models = {**make_models(), "margin_metric": CosineMarginLoss(CLASSES, DIM)}
    models = {**models, "D": make_discriminator()} if host == "dann" else models
    twins, labeler, slow = copy.deepcopy(models), make_labeler(kind), references.SlowPrototypes(CLASSES)
    kept = 0
    for number in range(3):
        batch = make_batch(number)
        given = {} if progress is None else {"progress": progress[number]}
        hooks = [PseudoLabelHook(warmup=warmup), MarginMetricHook()]
        outputs, _ = hook_step(host, models, {**batch, **given, "pseudo_labeler": labeler}, hooks)
        # full confidence without a warm-up, or without progress in the context
        factor, found = progress[number] if warmup == "linear" and progress is not None else 1.0, []

        def extra(forward, batch=batch, factor=factor, found=found):
            source, target = forward.features["src"], forward.features["target"]
            source_labels, logits = batch["src_labels"].tolist(), forward.logits("target")
            # the labeller updates itself with the full confidence at any progress
            if kind == "argmax":
                found[:] = logits.argmax(1).tolist(), SIZE * [1.0]
            else:
                found[:] = slow.label(target)
                slow.update(source, source_labels)
                slow.update(target, *found)
            found[1] = [factor * confidence for confidence in found[1]]
            labels, weights = source_labels + found[0], SIZE * [1.0] + found[1]
            layer, domains = twins["margin_metric"], SIZE * [0] + SIZE * [1]
            args = torch.cat([source, target]), labels, domains, weights, layer.prototypes, layer.scale, layer.margin
            return references.cosine_margin_loss(*args)

        plain_step(host, twins, make_opts(twins), batch, extra)
        assert outputs["target_pseudo_labels"].tolist() == found[0]
        assert outputs["target_pseudo_weights"].tolist() == pytest.approx(found[1], rel=1e-3, abs=1e-5)
        assert_same_states(states(models), states(twins), rtol=1e-3, atol=1e-5)
        kept += sum(label != -1 for label in found[0])
    assert models["G"].count == twins["G"].count == 6
    assert models["C"].count == twins["C"].count == 6
    assert kept > SIZE


@pytest.mark.parametrize("host", HOSTS)
def test_alone_it_changes_no_weight(host):
    models = {**make_models(), "D": make_discriminator()} if host == "dann" else make_models()
    twins, batch = copy.deepcopy(models), make_batch()
    outputs, losses = hook_step(host, models, {**batch, "pseudo_labeler": make_labeler()}, [PseudoLabelHook()])
    plain_step(host, twins, make_opts(twins), batch)
    assert_same_states(states(models), states(twins), **CLOSE)
    expected = {"src_c_loss", "total"} | ({"src_domain_loss", "target_domain_loss"} if host == "dann" else set())
    assert losses["total_loss"].keys() == expected
    assert outputs["target_pseudo_labels"].shape == outputs["target_pseudo_weights"].shape == (SIZE,)


def test_labels_first_then_updates_with_the_source_and_the_weighted_target():
    context, slow = make_context(), references.SlowPrototypes(CLASSES)
    for number in range(2):
        outputs, losses = PseudoLabelHook()({**context, **make_batch(number)})
        labels, confidence = slow.label(outputs["target_imgs_features"])
        slow.update(outputs["src_imgs_features"], make_batch(number)["src_labels"].tolist())
        slow.update(outputs["target_imgs_features"], labels, confidence)
        assert losses == {}
        assert outputs["target_pseudo_labels"].tolist() == labels
        assert outputs["target_pseudo_labels"].dtype == torch.int64
        assert outputs["target_pseudo_weights"].tolist() == pytest.approx(confidence, rel=1e-3, abs=1e-5)
    expected = torch.tensor(slow.prototypes)
    torch.testing.assert_close(context["pseudo_labeler"].prototypes, expected, rtol=1e-4, atol=1e-5)
    kept = context["pseudo_labeler"].labels[make_batch(1)["target_sample_idx"]]
    assert torch.equal(kept, outputs["target_pseudo_labels"])


@pytest.mark.parametrize("known", [None, torch.tensor([0, -1, 2, -1, -1, 1, -1, -1])])
def test_prototypes_of_the_target_are_means_by_class_probabilities_and_the_source_does_not_count(known):
    context, slow = make_context(), references.SlowPrototypes(CLASSES)
    given = {} if known is None else {"target_known_labels": known}
    for number in range(3):
        outputs, _ = PseudoLabelHook("none", prototypes="target")({**context, **make_batch(number), **given})
        features, probs = outputs["target_imgs_features"], outputs[LOGITS].softmax(1).detach()
        labels, _ = slow.label(features)
        if known is not None:
            labels = [was if is_known < 0 else is_known for was, is_known in zip(labels, known.tolist(), strict=True)]
            probs = torch.eye(CLASSES)[known].where(known[:, None] >= 0, probs)
        assert outputs["target_pseudo_labels"].tolist() == labels
        slow.update_soft(features, probs)
        expected = torch.tensor(slow.prototypes)
        torch.testing.assert_close(context["pseudo_labeler"].prototypes, expected, rtol=1e-4, atol=1e-5)


def test_unknown_prototypes_are_refused():
    with pytest.raises(ValueError, match=r"prototypes must be one of \('both', 'target'\), got 'source'"):
        PseudoLabelHook(prototypes="source")


def test_warm_up_is_linear_by_default():
    """Weights are proportional to progress, unlike the warm-up of losses, and stay float32."""
    context, seen = make_context(pseudo_labeler=make_labeler("argmax")), []
    for progress in (0.0, 0.25, 1.0):
        outputs, _ = PseudoLabelHook()({**context, "progress": progress})
        assert outputs["target_pseudo_weights"].dtype == torch.float32
        seen.append(outputs["target_pseudo_weights"].unique().tolist())
    assert seen == [[0.0], [0.25], [1.0]]


@pytest.mark.parametrize("kind", ["prototypes", "argmax"])
def test_lists_of_logits(kind):
    nets = [nn.Linear(DIM, CLASSES) for _ in range(2)]
    context = make_context(C=Several(*nets), pseudo_labeler=make_labeler(kind))
    outputs, _ = PseudoLabelHook()(context)
    assert [tuple(logits.shape) for logits in outputs[LOGITS]] == 2 * [(SIZE, CLASSES)]
    if kind == "argmax":
        probs = sum(net(outputs["target_imgs_features"]).softmax(1) for net in nets)
        assert torch.equal(outputs["target_pseudo_labels"], probs.argmax(1))


def test_existing_features_and_logits_are_used():
    context = make_context()
    given, _ = PseudoLabelHook()(context)
    there = {key: value for key, value in given.items() if "pseudo" not in key}
    context["G"].count = context["C"].count = 0
    outputs, _ = PseudoLabelHook()({**context, **there})
    assert outputs.keys() == {"target_pseudo_labels", "target_pseudo_weights"}
    assert context["G"].count == context["C"].count == 0


@pytest.mark.parametrize(
    "key", ["pseudo_labeler", "G", "C", "src_imgs", "target_imgs", "src_labels", "target_sample_idx"]
)
def test_missing_key_names_hook_and_key(key):
    context = make_context()
    del context[key]
    with pytest.raises(KeyError, match=rf"(?s)PseudoLabelHook needs '{key}'|in PseudoLabelHook.*{key}\W*$"):
        PseudoLabelHook()(context)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"src_labels": torch.full((SIZE,), CLASSES)},
            ValueError,
            r"source_labels must be in 0..2, .* from 3 to 3",
        ),
        ({"src_labels": torch.full((SIZE,), -1)}, ValueError, r"source_labels must be in 0..2, .* from -1 to -1"),
        (
            {"src_labels": torch.zeros(SIZE, 1).long()},
            ValueError,
            r"source_labels must have shape \(8,\), got",
        ),
        ({"src_imgs": torch.full((SIZE, 6), torch.nan)}, ValueError, "source features must be finite"),
        ({"target_imgs": torch.full((SIZE, 6), torch.nan)}, ValueError, "features must be finite"),
        ({"target_sample_idx": torch.full((SIZE,), NUM_TARGET)}, ValueError, r"sample_idx.* in 0..19, got .* 20"),
        ({"target_sample_idx": torch.zeros(3).long()}, ValueError, r"sample_idx.* must have shape \(8,\), got \(3,\)"),
        ({"progress": 1.5}, ValueError, r"'progress' must be in 0\.\.1, got 1\.5"),
    ],
)
def test_refused_batch_leaves_the_labeler_as_it_was(changed, error, message):
    context = make_context()
    context["G"].eval()
    PseudoLabelHook()(context)
    before = states({"labeler": context["pseudo_labeler"]})
    with pytest.raises(error, match=message) as caught:
        PseudoLabelHook()({**context, **changed})
    assert "PseudoLabelHook" in str(caught.value)
    assert_same_states(states({"labeler": context["pseudo_labeler"]}), before)


def test_labeler_of_another_feature_size_is_left_as_it_was():
    context = make_context(pseudo_labeler=PrototypeLabeler(CLASSES, DIM + 1, NUM_TARGET))
    with pytest.raises(ValueError, match=r"features must have shape \(N, 6\), got \(8, 5\)"):
        PseudoLabelHook()(context)
    assert not context["pseudo_labeler"].is_seen.any()


def test_labeler_with_fewer_classes_than_the_classifier_is_left_as_it_was():
    context = make_context(pseudo_labeler=PrototypeLabeler(CLASSES - 1, DIM, NUM_TARGET))
    before = states({"labeler": context["pseudo_labeler"]})
    with pytest.raises(ValueError, match=r"labels must be in .*1, got"):
        PseudoLabelHook()(context)
    assert_same_states(states({"labeler": context["pseudo_labeler"]}), before)


def logged(hook):
    """Returns the modules that upstream's logger finds: it searches the attributes of hooks for hooks and modules."""
    found = []
    for value in vars(hook).values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, BaseHook):
                found += logged(one)
            elif isinstance(one, nn.Module):
                found.append(one)
    return found


def test_diagnostics_are_found_by_upstreams_logger_and_are_no_losses():
    models = make_models()
    hook = DMSRLHook(make_opts(models), recipe=DEFAULT.without("margin", "mi"))
    context = {
        **make_context(**models),
        "training_progress": TrainingProgress(),
        "source_accuracy": SourceAccuracy(CLASSES),
    }
    for number in range(2):
        _, losses = hook({**context, **make_batch(number)})
    labeler = context["pseudo_labeler"]
    assert [one for one in logged(hook) if hasattr(one, "_record_these")] == [labeler]
    assert losses["total_loss"].keys() == {"src_c_loss", "mcc_loss", "consistency_loss", "total"}
    diagnostics = labeler.diagnostics
    assert sum(diagnostics["class_histogram"]) == diagnostics["fraction_kept"] * NUM_TARGET > 0
    assert 0 < diagnostics["fraction_changed"] <= 1


def test_keys_are_declared():
    names = {f"{domain}_imgs_features{kind}" for domain in ("src", "target") for kind in ("", "_logits")}
    hook = PseudoLabelHook()
    assert set(hook.out_keys) == names | {"target_pseudo_labels", "target_pseudo_weights", "target_class_probs"}
    assert hook.loss_keys == []
