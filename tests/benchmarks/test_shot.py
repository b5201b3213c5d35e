"""SHOT's ingredients: steps with them beside steps in plain PyTorch."""

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmarks.methods import Setup, get_method
from benchmarks.methods.method import LEARNING_RATE, WEIGHT_DECAY

from .. import references
from ..stand_ins import CLASSES, NUM_TARGET, make_batch


def test_steps_are_those_of_plain_pytorch():
    method = get_method("shot")
    torch.manual_seed(0)
    trained = method.build(Setup((6,), CLASSES, NUM_TARGET, steps=4), method.settings)
    trained.on_progress(0.1)
    rise, adapter = references.ramp(0.1), trained.adapter
    adapter.models.train()
    G, C = (copy.deepcopy(adapter.models[key]) for key in "GC")
    opts = [torch.optim.Adam(one.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY) for one in (G, C)]
    slow = references.SlowPrototypes(CLASSES, threshold=0.0)
    for number in range(2):
        batch = make_batch(number)
        losses = adapter.training_step(batch)["total_loss"]
        features = [G(batch[f"{domain}_imgs"]) for domain in ("src", "target")]
        source, target = (C(rows) for rows in features)
        labels, _ = slow.label(features[1])
        slow.update_soft(features[1], target.detach().softmax(1))
        assert min(labels) == (-1 if number == 0 else 0)  # the first batch makes the prototypes
        probs, mean = target.softmax(1), target.softmax(1).mean(0)
        parts = {
            "src_c_loss": F.cross_entropy(source, batch["src_labels"], label_smoothing=0.1),
            "entropy_loss": rise * -(probs * probs.log()).sum(1).mean(),
            "diversity_loss": rise * (mean * mean.log()).sum(),
            "target_c_loss": rise * 0.3 * F.cross_entropy(target, torch.tensor(labels)) if number else torch.zeros(()),
        }
        for opt in opts:
            opt.zero_grad()
        sum(parts.values()).backward()
        for opt in opts:
            opt.step()
        assert losses == pytest.approx(
            {**{key: one.item() for key, one in parts.items()}, "total": sum(parts.values()).item()}, rel=1e-4
        )
    for ours, plain in ((adapter.models["G"], G), (adapter.models["C"], C)):
        for key, value in plain.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-3, atol=1e-5, msg=key)


def test_every_variant_trains():
    for name in ("shot_augmented", "shot_dmsrl"):
        method = get_method(name)
        adapter = method.build(Setup((6,), CLASSES, NUM_TARGET, steps=4), method.settings).adapter
        assert {"entropy_loss", "diversity_loss", "target_c_loss"} <= adapter.training_step(make_batch())[
            "total_loss"
        ].keys()
