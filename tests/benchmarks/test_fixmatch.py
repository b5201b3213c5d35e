"""FixMatch: its loss, and a step of it beside one in plain PyTorch."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks.methods import Setup, get_method
from benchmarks.methods.fixmatch import fixmatch_loss
from benchmarks.methods.method import LEARNING_RATE, WEIGHT_DECAY

from ..stand_ins import CLASSES, NUM_TARGET, Counted, make_batch


def slow_loss(logits, probs, threshold):
    total = 0.0
    for z, q in zip(logits.tolist(), probs.tolist(), strict=True):
        if max(q) >= threshold:
            total += math.log(sum(math.exp(one) for one in z)) - z[q.index(max(q))]
    return total / len(logits)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_reference(threshold, seed):
    generator = torch.Generator().manual_seed(seed)
    logits, probs = torch.randn(9, 4, generator=generator), (3 * torch.randn(9, 4, generator=generator)).softmax(1)
    expected = slow_loss(logits, probs, threshold)
    assert fixmatch_loss(logits, probs, threshold).item() == pytest.approx(expected, rel=1e-5)


def test_value_by_hand():
    """Two of three samples are certain enough; logits of a half each give log 2."""
    probs = torch.tensor([[0.96, 0.04], [0.05, 0.95], [0.94, 0.06]])
    assert fixmatch_loss(torch.zeros(3, 2), probs, 0.95).item() == pytest.approx(2 / 3 * math.log(2))


def test_gradient_is_that_of_the_cross_entropy_where_the_weak_view_is_certain():
    logits, probs = torch.randn(4, 3).requires_grad_(), torch.tensor([[0.8, 0.1, 0.1]] * 2 + [[0.4, 0.3, 0.3]] * 2)
    fixmatch_loss(logits, probs, 0.5).backward()
    expected = (logits.softmax(1) - torch.eye(3)[0]) / 4
    expected[2:] = 0
    torch.testing.assert_close(logits.grad, expected.detach())


@pytest.mark.parametrize("size", [0, 3])
def test_no_certain_sample_is_a_zero_with_a_gradient(size):
    logits = torch.randn(size, 4, requires_grad=True)
    loss = fixmatch_loss(logits, torch.full((size, 4), 0.25), 0.95)
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros(size, 4))


@pytest.mark.parametrize("has_copies", [True, False])
def test_step_is_that_of_plain_pytorch(has_copies):
    batch = make_batch()
    if has_copies:
        batch["target_imgs_augmented"] = batch["target_imgs"].flip(1)
    method = get_method("fixmatch[threshold=0.3]")
    torch.manual_seed(0)
    adapter = method.build(Setup((6,), CLASSES, NUM_TARGET, steps=4), method.settings).adapter
    adapter.models.train()
    G, C = (copy.deepcopy(adapter.models[key]) for key in "GC")
    opts = [torch.optim.Adam(one.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY) for one in (G, C)]
    adapter.models["G"] = Counted(adapter.models["G"])
    losses = adapter.training_step(batch)["total_loss"]
    strong = C(G(batch.get("target_imgs_augmented", batch["target_imgs"])))
    source = F.cross_entropy(C(G(batch["src_imgs"])), batch["src_labels"])
    with torch.no_grad():
        weak = C(G(batch["target_imgs"])) if has_copies else strong
        probs, labels = weak.softmax(1).max(1)
    assert (probs >= 0.3).sum() > 0
    target = (F.cross_entropy(strong, labels, reduction="none") * (probs >= 0.3)).mean()
    (source + target).backward()
    for opt in opts:
        opt.step()
    assert losses["consistency_loss"] == pytest.approx(target.item())
    assert adapter.models["G"].count == (3 if has_copies else 2)
    for ours, plain in ((adapter.models["G"].net, G), (adapter.models["C"], C)):
        for key, value in plain.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[key], value, msg=key)


def test_every_variant_trains_on_images():
    images = torch.rand(8, 3, 20, 20)
    batch = {**make_batch(), "src_imgs": images, "target_imgs": 1 - images}
    for name in ("fixmatch", "fixmatch_augmented", "fixmatch_dmsrl"):
        method = get_method(name)
        adapter = method.build(Setup((3, 20, 20), CLASSES, NUM_TARGET, steps=4), method.settings).adapter
        assert "consistency_loss" in adapter.training_step(batch)["total_loss"], name
