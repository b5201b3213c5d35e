"""The training loop: one step of an adapter after another, on Lightning Fabric."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lightning.fabric import Fabric
from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """A finished training step.

    number: 1 for the first step of a run.
    losses: as `BaseAdapter.training_step` returns them.
    seconds: time of the step, without its batch.
    """

    number: int
    losses: dict[str, dict[str, float]]
    seconds: float


def training_steps(
    adapter: BaseAdapter,
    batches: Iterable[dict[str, Any]],
    steps: int,
    fabric: Fabric,
    done: int = 0,
    before_step: Callable[[float], None] | None = None,
    backward: Callable[[Tensor], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Step]:
    """Trains an adapter and yields each finished step; the caller scores, logs and saves in between.

    Args:
        adapter: of pytorch-adapt, on its device, see `place`.
        batches: with upstream's keys, from step `done` + 1 on.
        steps: of the whole run.
        fabric: moves the batches, and sets the precision of the steps.
        done: steps of an earlier run that this one continues.
        before_step: called before each step with the training progress, 0..1.
        backward: called in place of `loss.backward()`, such as a `BackwardPass`.
        clock: returns seconds, for the time of a step.

    Examples:
        >>> from pytorch_adapt.adapters import Classifier
        >>> from pytorch_adapt.containers import Models
        >>> from torch import nn, ones, zeros
        >>> adapter = Classifier(models=Models({"G": nn.Linear(4, 8), "C": nn.Linear(8, 3)}))
        >>> batch = {"src_imgs": ones(2, 4), "src_labels": zeros(2).long(), "src_domain": zeros(2)}
        >>> [step.number for step in training_steps(adapter, [batch] * 3, steps=2, fabric=Fabric(accelerator="cpu"))]
        [1, 2]
    """
    for number, batch in zip(range(done + 1, steps + 1), batches, strict=False):
        if before_step:
            before_step((number - 1) / steps)
        batch = fabric.to_device(batch)
        start = clock()
        with fabric.autocast():
            losses = adapter.training_step(batch, custom_backward=backward)
        seconds = clock() - start
        adapter.lr_schedulers.step("per_step")
        yield Step(number, losses, seconds)
