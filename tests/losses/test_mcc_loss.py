"""Minimum class confusion with several weighters in forks of this process that share the samples.

Arguments: folder, sizes of the processes' shares. Writes losses and gradients of each process.
"""

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pytorch_adapt.layers import EntropyWeights, MCCLoss
from pytorch_adapt.layers.normalizers import MaxNormalizer, MinMaxNormalizer, NoNormalizer

from dmsrl_adapt.losses import MinimumClassConfusionLoss

from ..scripts import in_forks


class Rows:
    """Weighs samples by their place in the batch, and takes no batch without any."""

    def __call__(self, probs):
        assert len(probs) > 0 and not probs.requires_grad
        return torch.arange(1.0, len(probs) + 1)[:, None]


WEIGHTERS = {
    "none": None,
    "first class": lambda probs: probs[:, 0],
    "largest in the batch": EntropyWeights(after_softmax=True, normalizer=MaxNormalizer()),
    "range of the batch": EntropyWeights(after_softmax=True, normalizer=MinMaxNormalizer()),
    "not normalised": EntropyWeights(after_softmax=True, normalizer=NoNormalizer()),
    "of what takes logits": EntropyWeights(),
    "rows": Rows(),
    "no weight": lambda probs: torch.zeros(len(probs)),
    "set later": EntropyWeights(normalizer=MaxNormalizer()),
}


def results(logits, mine=slice(None)):
    """Loss and gradient of this process's share, by the name of the weighter."""
    found = {}
    for name, weighter in WEIGHTERS.items():
        share = logits[mine].clone().requires_grad_()
        loss_fn = MinimumClassConfusionLoss(T=2.0, entropy_weighter=None if name == "set later" else weighter)
        if name == "set later":
            loss_fn.entropy_weighter = weighter
        loss = loss_fn(share)
        found[name] = loss.detach(), torch.autograd.grad(loss, share)[0]
    return found


def make_logits(count):
    return 3 * torch.randn(count, 4, generator=torch.Generator().manual_seed(0))


def work(folder, number, sizes):
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=len(sizes))
    start = sum(sizes[:number])
    found = results(make_logits(sum(sizes)), slice(start, start + sizes[number]))
    torch.save(found, folder / f"result{number}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_is_upstreams_loss_and_gradient(temperature):
    logits = (5 * torch.randn(16, 4)).requires_grad_()
    grads = []
    for loss in (MinimumClassConfusionLoss(T=temperature)(logits), MCCLoss(T=temperature)(logits)):
        grads.append(torch.autograd.grad(loss, logits)[0])
    torch.testing.assert_close(MinimumClassConfusionLoss(T=temperature)(logits), MCCLoss(T=temperature)(logits))
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("lowest", [-1000.0, -95.0])
def test_class_that_is_never_predicted_gives_a_finite_loss_and_gradient(lowest):
    logits = torch.randn(8, 3)
    logits[:, 1] = lowest
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(MCCLoss()(logits), logits)
    assert grad.isnan().any()
    loss = MinimumClassConfusionLoss()(logits)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_runs_in_float32_under_autocast():
    logits = 20 * torch.randn(8, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(MinimumClassConfusionLoss()(logits), MinimumClassConfusionLoss()(logits.clone()))
        assert MinimumClassConfusionLoss()(logits).dtype == torch.float32
        inside = MinimumClassConfusionLoss()(logits)
    assert torch.equal(inside, MinimumClassConfusionLoss()(logits))


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        (torch.zeros(3), ValueError, r"logits must have shape \(N, K\), got \(3,\)"),
        (torch.zeros(2, 3, device="meta"), ValueError, r"logits must hold values, got a tensor of shape \(2, 3\)"),
        (
            torch.zeros(2, 3, dtype=torch.complex64),
            TypeError,
            "logits must be a floating point tensor, got torch.complex64",
        ),
        (torch.zeros(2, 3, dtype=torch.int64), TypeError, "logits must be a floating point tensor, got torch.int64"),
        ([[0.0]], TypeError, "logits must be a floating point tensor, got list"),
    ],
)
def test_bad_logits_are_refused(logits, error, message):
    with pytest.raises(error, match=message):
        MinimumClassConfusionLoss()(logits)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match=f"T must be above 0, got {temperature}"):
        MinimumClassConfusionLoss(T=temperature)


@pytest.mark.parametrize("name", [name for name in WEIGHTERS if name != "no weight"])
def test_weighs_samples_as_upstream_does(name):
    logits = make_logits(9).requires_grad_()
    loss = MCCLoss(T=2.0, entropy_weighter=WEIGHTERS[name])(logits)
    found = results(logits.detach())[name]
    torch.testing.assert_close(found[0], loss.detach())
    torch.testing.assert_close(found[1], torch.autograd.grad(loss, logits)[0])


def test_samples_that_all_weigh_nothing_give_zero_with_a_gradient():
    loss, grad = results(make_logits(9))["no weight"]
    assert loss == 0 and torch.equal(grad, torch.zeros(9, 4))


@pytest.mark.parametrize("sizes", [(5, 5), (7, 2), (0, 6), (0, 0), (4, 0, 3)])
def test_processes_weigh_as_one_with_all_samples(sizes, tmp_path, forks):
    arguments = [str(tmp_path), *map(str, sizes)]
    assert forks.finish("-m", "tests.losses.test_mcc_loss", *arguments).split() == len(sizes) * ["0"]
    alone = results(make_logits(sum(sizes)))
    shares = [torch.load(tmp_path / f"result{number}.pt") for number in range(len(sizes))]
    for name, (loss, grad) in alone.items():
        for share in shares:
            torch.testing.assert_close(share[name][0], loss, msg=name)
        # every process has the loss of all samples, so the sum of their gradients counts each process's once
        grads = torch.cat([share[name][1] for share in shares]) / len(sizes)
        torch.testing.assert_close(grads, grad, rtol=1e-4, atol=1e-6, msg=name)


if __name__ == "__main__":
    SIZES = [int(size) for size in sys.argv[2:]]
    print(*in_forks(work, [(Path(sys.argv[1]), number, SIZES) for number in range(len(SIZES))]))
