"""Sharpness-aware CDAN with MCC: its climb, a step of it beside one in plain PyTorch, and its two passes."""

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmarks.methods import Setup, get_method
from benchmarks.methods.method import LEARNING_RATE, WEIGHT_DECAY
from benchmarks.methods.sdat import climb

from .. import references
from ..stand_ins import CLASSES, NUM_TARGET, Counted, make_batch


def make(name, shape=(6,)):
    method = get_method(name)
    torch.manual_seed(0)
    trained = method.build(Setup(shape, CLASSES, NUM_TARGET, steps=4), method.settings)
    trained.adapter.models.train()
    return trained


def test_climb_by_hand():
    """The gradient of both has length 5; a step of length 0.5 along it."""
    weights = [torch.zeros(2), torch.ones(1)]
    climb(weights, (torch.tensor([3.0, 0.0]), torch.tensor([4.0])), rho=0.5)
    torch.testing.assert_close(weights, [torch.tensor([0.3, 0.0]), torch.tensor([1.4])])


def test_climb_without_a_gradient_stays():
    weights = [torch.ones(2)]
    climb(weights, (torch.zeros(2),), rho=0.5)
    assert torch.equal(weights[0], torch.ones(2))


@pytest.mark.parametrize("rho", [0.02, 0.5])
def test_step_is_that_of_plain_pytorch(rho):
    """Without reversed gradient, so that the adversarial loss reaches the critic alone."""
    batch, trained = make_batch(), make(f"sdat[rho={rho}]")
    adapter = trained.adapter
    trained.on_progress(0.0)
    twins = {key: copy.deepcopy(adapter.models[key]) for key in "GC"}
    weights = [one for twin in twins.values() for one in twin.parameters()]
    opts = [torch.optim.Adam(twin.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY) for twin in twins.values()]
    critic = copy.deepcopy(adapter.models["D"].state_dict())
    adapter.models["G"] = Counted(adapter.models["G"])
    losses = adapter.training_step(batch)["total_loss"]

    def task():
        logits = [twins["C"](twins["G"](batch[f"{domain}_imgs"])) for domain in ("src", "target")]
        return F.cross_entropy(logits[0], batch["src_labels"]), references.class_confusion(logits[1], 2.0)

    grads = torch.autograd.grad(sum(task()), weights)
    norm = sum((grad**2).sum() for grad in grads).sqrt()
    kept = [one.detach().clone() for one in weights]
    with torch.no_grad():
        for one, grad in zip(weights, grads, strict=True):
            one += rho * grad / norm
    found = task()
    sum(found).backward()
    with torch.no_grad():
        for one, old in zip(weights, kept, strict=True):
            one.copy_(old)
    for opt in opts:
        opt.step()
    assert adapter.models["G"].count == 4
    assert losses["src_c_loss"] == pytest.approx(found[0].item(), rel=1e-4)
    assert losses["mcc_loss"] == pytest.approx(found[1].item(), rel=1e-4)
    for ours, plain in ((adapter.models["G"].net, twins["G"]), (adapter.models["C"], twins["C"])):
        for key, value in plain.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-3, atol=2e-5, msg=key)
    after = adapter.models["D"].state_dict()
    assert all(not torch.equal(after[key], value) for key, value in critic.items())


def test_both_passes_see_the_same_augmented_images():
    adapter = make("sdat_augmented[augmentation.accuracy_gate=false]", (3, 20, 20)).adapter
    seen = []
    adapter.models["G"].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.rand(8, 3, 20, 20)
    batch = {**make_batch(), "src_imgs": images, "target_imgs": 1 - images}
    for _ in range(2):
        adapter.training_step(batch)
    assert len(seen) == 8
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[4], seen[6])
    assert not torch.equal(seen[0], images) and not torch.equal(seen[0], seen[4])


def test_reversed_gradient_rises():
    trained = make("sdat")
    (reversal,) = [cell.cell_contents for cell in trained.on_progress.__closure__ if hasattr(cell.cell_contents, "fn")]
    strengths = []
    for progress in (0.0, 1.0):
        trained.on_progress(progress)
        strengths.append(reversal.fn.weight.item())
    assert strengths == pytest.approx([0.0, get_method("sdat").settings["reversal"]], rel=1e-3)
