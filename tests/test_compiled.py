"""Networks and losses give the same numbers compiled in one piece, and modules skip checks where they are told to."""

import copy
import shutil

import pytest
import torch
from pytorch_adapt.containers import Misc, Models
from torch import nn

from dmsrl_adapt import DMSRL, PrototypeLabeler, dmsrl_components
from dmsrl_adapt.losses import (
    AdversarialMILoss,
    CLUBLoss,
    CosineMarginLoss,
    DomainBranch,
    MarginMetricLoss,
    MinimumClassConfusionLoss,
    consistency_loss,
    labelled_cross_entropy,
)
from dmsrl_adapt.training import SourceAccuracy

N, D, K = 12, 6, 4
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LABELS, DOMAINS = torch.arange(N) % K, torch.arange(N) % 2
PROBS, WEIGHTS = torch.linspace(-1, 1, N * K).view(N, K).sin().softmax(1), torch.linspace(0, 1, N)
LOSSES = {
    "class-wise critic": (lambda: AdversarialMILoss(D, K, hidden=8), (DOMAINS, PROBS, 0.5, WEIGHTS)),
    "critic of three domains": (lambda: AdversarialMILoss(D, K, hidden=8, num_domains=3), (LABELS % 3, PROBS)),
    "marginal critic": (lambda: AdversarialMILoss(D, hidden=8), (DOMAINS,)),
    "cosine margin": (lambda: CosineMarginLoss(K, D), (LABELS - 1, DOMAINS, WEIGHTS)),
    "centre margin": (lambda: MarginMetricLoss(K, D), (LABELS - 1, DOMAINS, WEIGHTS)),
    "CLUB": (lambda: CLUBLoss(D, 2, hidden=8), (PROBS[:, :2],)),
    "domain branch": (lambda: DomainBranch(D, hidden=8), (DOMAINS,)),
    "confusion": (lambda: MinimumClassConfusionLoss(2.5), ()),
    "consistency": (lambda: consistency_loss, (PROBS,)),
    "labelled": (lambda: labelled_cross_entropy, (LABELS - 1,)),
}
OF_LOGITS = ("confusion", "consistency", "labelled")


def results(loss_fn, features, args):
    """Returns the losses, and the gradients of their sum."""
    features = features.clone().requires_grad_()
    found = loss_fn(features, *args)
    parts = [found] if isinstance(found, torch.Tensor) else list(found)
    torch.stack([one.sum() for one in parts]).sum().backward()
    of_module = [one.grad for one in loss_fn.parameters()] if isinstance(loss_fn, nn.Module) else []
    return [*parts, features.grad, *of_module]


def check_compiled(name, backend):
    torch.compiler.reset()
    make, args = LOSSES[name]
    plain = make()
    compiled = torch.compile(copy.deepcopy(plain), backend=backend, fullgraph=True)
    features = torch.randn(N, K if name in OF_LOGITS else D)
    for one, expected in zip(results(compiled, features, args), results(plain, features, args), strict=True):
        torch.testing.assert_close(one, expected, **CLOSE)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_compile_in_one_piece(name):
    check_compiled(name, "aot_eager")


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="needs a C++ compiler")
def test_a_loss_compiled_to_machine_code():
    check_compiled("cosine margin", "inductor")


@pytest.mark.parametrize("recipe", ["default", "published"])
def test_a_step_with_compiled_networks_is_that_without(recipe):
    torch.compiler.reset()
    G, C = nn.Sequential(nn.Linear(5, D), nn.Tanh()), nn.Linear(D, K)
    parts = dmsrl_components(D, K, N, recipe, total_steps=4)
    batch = {"src_imgs": torch.randn(N, 5), "src_labels": LABELS, "target_imgs": torch.randn(N, 5)}
    batch["target_sample_idx"] = torch.arange(N)
    seen = []
    for wrap in (lambda net: net, lambda net: torch.compile(net, backend="aot_eager", fullgraph=True)):
        nets, own = copy.deepcopy((G, C)), copy.deepcopy(parts)
        adapter = DMSRL(models=Models({"G": wrap(nets[0]), "C": wrap(nets[1]), **own.models}), misc=Misc(own.misc))
        losses = [adapter.training_step(dict(batch))["total_loss"] for _ in range(3)]
        seen.append((losses[-1], [one.detach() for net in nets for one in net.parameters()]))
    assert seen[1][0] == pytest.approx(seen[0][0], rel=1e-5, abs=1e-5)
    for one, expected in zip(seen[1][1], seen[0][1], strict=True):
        torch.testing.assert_close(one, expected, **CLOSE)


BAD = torch.full((N, D), torch.nan)
CALLS = {
    "critic": lambda **settings: AdversarialMILoss(D, hidden=8, **settings)(BAD, DOMAINS),
    "cosine margin": lambda **settings: CosineMarginLoss(K, D, **settings)(BAD, LABELS),
    "centre margin": lambda **settings: MarginMetricLoss(K, D, **settings)(BAD, LABELS, DOMAINS),
    "CLUB": lambda **settings: CLUBLoss(D, D, hidden=8, **settings)(BAD, BAD),
    "domain branch": lambda **settings: DomainBranch(D, hidden=8, **settings)(BAD, DOMAINS),
    "labeler": lambda **settings: PrototypeLabeler(K, D, N, **settings).update(BAD, LABELS),
    "accuracy": lambda **settings: SourceAccuracy(D, **settings).update(BAD, LABELS),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_are_checked_unless_the_module_is_told_not_to(name):
    with pytest.raises(ValueError, match="must be finite"):
        CALLS[name]()
    CALLS[name](validate_args=False)
    with pytest.raises(ValueError, match="must be finite"):  # the next module checks again
        CALLS[name]()
