import pytest
import torch
from torch import nn

from dmsrl_adapt import SourceAccuracyHook
from dmsrl_adapt.training import SourceAccuracy


def make_context(predicted, labels=(0, 1, 2)):
    logits = torch.eye(3)[list(predicted)]
    batch = {"src_imgs_features": logits, "src_imgs_features_logits": logits, "src_labels": torch.tensor(labels)}
    return {"source_accuracy": SourceAccuracy(num_classes=3, momentum=0.0), **batch}


def test_follows_the_accuracy_on_the_source():
    context = make_context(predicted=[0, 1, 1])
    outputs, losses = SourceAccuracyHook()(context)
    assert (outputs, losses) == ({}, {})
    assert context["source_accuracy"]() == pytest.approx((2 / 3 - 1 / 3) / (2 / 3))


def test_augmented_images_do_not_count():
    context = {**make_context(predicted=[0, 1, 1]), "src_imgs_is_augmented": torch.tensor([False, False, True])}
    SourceAccuracyHook()(context)
    assert context["source_accuracy"]() == pytest.approx(1)


def test_a_batch_of_augmented_images_changes_nothing():
    context = {**make_context(predicted=[0, 1, 2]), "src_imgs_is_augmented": torch.ones(3, dtype=torch.bool)}
    SourceAccuracyHook()(context)
    assert context["source_accuracy"]() == 0


def test_several_classifiers_vote():
    context = make_context(predicted=[0, 1, 2])
    context["src_imgs_features_logits"] = [torch.eye(3), 0.1 * torch.eye(3)[[1, 2, 0]]]
    SourceAccuracyHook()(context)
    assert context["source_accuracy"]() == pytest.approx(1)


def test_computes_what_is_missing_and_declares_it():
    hook, labels = SourceAccuracyHook(), torch.tensor([0, 1, 2])
    context = {
        "G": nn.Identity(),
        "C": nn.Identity(),
        "src_imgs": torch.eye(3, requires_grad=True),
        "src_labels": labels,
    }
    outputs, _ = hook({**context, "source_accuracy": SourceAccuracy(3)})
    assert outputs.keys() == set(hook.out_keys) == {"src_imgs_features", "src_imgs_features_logits"}
    assert hook.loss_keys == []


@pytest.mark.parametrize("key", ["source_accuracy", "src_labels"])
def test_missing_key_names_hook_and_key(key):
    context = make_context(predicted=[0, 1, 2])
    del context[key]
    with pytest.raises(KeyError, match=f"SourceAccuracyHook needs '{key}' in the context, got"):
        SourceAccuracyHook()(context)
