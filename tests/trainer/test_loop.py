"""The training loop and what belongs to a step: equal to a plain loop in PyTorch, in any way to accumulate."""

from collections.abc import Iterator

import pytest
import torch
from lightning.fabric import Fabric
from pytorch_adapt.adapters import BaseAdapter, Classifier
from pytorch_adapt.containers import LRSchedulers, Models, Optimizers
from torch import Tensor, nn

from dmsrl_adapt import DEFAULT
from dmsrl_adapt.trainer.backward_pass import BackwardPass
from dmsrl_adapt.trainer.batches import DrawnBatches
from dmsrl_adapt.trainer.cosine_schedule import CosineSchedule
from dmsrl_adapt.trainer.loop import training_steps
from dmsrl_adapt.trainer.optimizers import OptimizerSettings, make_optimizers


def make() -> tuple[BaseAdapter, nn.Module, nn.Module]:
    """A classifier with SGD and a schedule, and its networks."""
    torch.manual_seed(0)
    G, C = nn.Linear(4, 6), nn.Linear(6, 3)
    sgd = (torch.optim.SGD, {"lr": 0.1})
    schedule = (torch.optim.lr_scheduler.LambdaLR, {"lr_lambda": CosineSchedule(6)})
    adapter = Classifier(
        models=Models({"G": G, "C": C}),
        optimizers=Optimizers({"G": sgd, "C": sgd}),
        lr_schedulers=LRSchedulers({"G": schedule, "C": schedule}),
    )
    return adapter, G, C


def batches(count: int) -> Iterator[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    for _ in range(count):
        images, labels = torch.randn(8, 4, generator=draw), torch.randint(3, (8,), generator=draw)
        yield {"src_imgs": images, "src_labels": labels, "src_domain": torch.zeros(8)}


@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (1, 0.1), (2, None), (3, 0.1)])
def test_it_is_a_plain_loop(accumulate: int, clip: float | None) -> None:
    adapter, G, C = make()
    fabric = Fabric(accelerator="cpu")
    backward = BackwardPass(fabric, adapter, clip, accumulate)
    steps = list(training_steps(adapter, batches(9), 6, fabric, backward=backward))
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6]
    _, wanted_G, wanted_C = make()
    parameters = [*wanted_G.parameters(), *wanted_C.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, CosineSchedule(6))
    for number, batch in enumerate(batches(6), start=1):
        loss = nn.functional.cross_entropy(wanted_C(wanted_G(batch["src_imgs"])), batch["src_labels"])
        (loss / accumulate).backward()
        if number % accumulate == 0:
            if clip:
                nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()
    for one, other in zip([*G.parameters(), *C.parameters()], parameters, strict=True):
        torch.testing.assert_close(one, other)


def test_a_later_start_gets_the_later_batches_and_progress() -> None:
    adapter, *_ = make()
    seen: list[float] = []
    steps = list(training_steps(adapter, batches(2), 4, Fabric(accelerator="cpu"), 2, seen.append))
    assert [step.number for step in steps] == [3, 4] and seen == [0.5, 0.75]


def test_batches_go_on_where_they_were_and_are_shared_by_processes() -> None:
    def first(count: int, **arguments: int) -> list[list[tuple[int, int]]]:
        return [batch for batch, _ in zip(DrawnBatches(20, seed=3, **arguments), range(count), strict=False)]

    whole = first(7, batch_size=4)
    assert first(4, batch_size=4, done=3) == whole[3:]
    assert sorted(row for batch in whole[:5] for row, _ in batch) == list(range(20))
    halves = [first(3, batch_size=2, rank=rank, processes=2) for rank in (0, 1)]
    for step in range(3):
        assert sorted(halves[0][step] + halves[1][step]) == sorted(whole[step])
    assert len({seed for batch in whole for _, seed in batch}) > 20


def test_a_pretrained_network_has_a_tenth_of_the_rate_and_no_decay_of_biases() -> None:
    trunk, head = nn.Linear(4, 6), nn.Linear(6, 3)
    settings = OptimizerSettings().complete(is_pretrained=True)
    assert settings == OptimizerSettings("adamw", 0.001, 0.05)
    made = make_optimizers({"G": nn.Sequential(trunk, head)}, trunk, DEFAULT, settings)["G"]
    told = [(group["lr"], group["weight_decay"], len(group["params"])) for group in made.param_groups]
    assert told == [(0.001, 0.05, 2), (pytest.approx(0.0001), 0.05, 1), (pytest.approx(0.0001), 0, 1)]
    assert OptimizerSettings("sgd").complete(False) == OptimizerSettings("sgd", 0.01, 5e-4)
    assert CosineSchedule(100, warm_up=4)(0) == pytest.approx(0.2)
