import pytest
import torch
from torch import nn

from dmsrl_adapt.hooks import FixedNetworksHook

from ..stand_ins import make_batch, make_models

DOMAINS = ("src", "target")


def test_features_are_those_of_evaluation_mode_and_carry_no_gradient():
    models, batch = make_models(), make_batch()
    outputs = FixedNetworksHook()({**models, **batch})[0]
    for domain in DOMAINS:
        expected = models["G"].eval()(batch[f"{domain}_imgs"])
        assert torch.equal(outputs[f"{domain}_imgs_features"], expected)
        assert not outputs[f"{domain}_imgs_features"].requires_grad


def test_features_that_the_host_has_are_used_again():
    models, batch = make_models(), make_batch()
    known = {f"{domain}_imgs_features_detached": torch.rand(8, 5) for domain in DOMAINS}
    outputs = FixedNetworksHook()({**models, **batch, **known})[0]
    assert models["G"].count == 0
    assert all(torch.equal(outputs[key.removesuffix("_detached")], rows) for key, rows in known.items())


def test_a_domain_that_is_not_named_is_left_to_the_host():
    outputs = FixedNetworksHook(domains=["src"])({**make_models(), **make_batch()})[0]
    assert set(outputs) == {"src_imgs_features", "src_imgs_features_detached"}


def test_a_fixed_classifier_passes_its_gradient_on_and_gets_none():
    models = make_models()
    features = {f"{domain}_imgs_features": torch.rand(8, 5, requires_grad=True) for domain in DOMAINS}
    hook = FixedNetworksHook(domains=[], fixes_classifier=True)
    outputs = hook({**models, **make_batch(), **features})[0]
    sum(outputs[f"{domain}_imgs_features_logits"].square().sum() for domain in DOMAINS).backward()
    assert all(parameter.grad is None for parameter in models["C"].parameters())
    for rows in features.values():
        assert rows.grad.abs().sum() > 0
    expected = models["C"](features["src_imgs_features"])
    torch.testing.assert_close(outputs["src_imgs_features_logits"], expected)


def test_a_fixed_classifier_leaves_its_batch_statistics():
    models = {**make_models(), "C": nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))}
    features = {f"{domain}_imgs_features": torch.rand(8, 5) for domain in DOMAINS}
    outputs = FixedNetworksHook(domains=[], fixes_classifier=True)({**models, **make_batch(), **features})[0]
    assert models["C"][1].num_batches_tracked == 0
    expected = models["C"].eval()(features["src_imgs_features"])
    torch.testing.assert_close(outputs["src_imgs_features_logits"], expected)


def test_a_fixed_classifier_wants_the_features():
    with pytest.raises(KeyError, match="FixedNetworksHook needs 'target_imgs_features' in the context"):
        FixedNetworksHook(domains=["src"], fixes_classifier=True)({**make_models(), **make_batch()})
