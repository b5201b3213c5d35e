"""The backward pass of a training step, with loss scaling, accumulation and clipping of gradients."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric import Fabric
from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor, nn

from ..checks import check_sizes


class BackwardPass:
    """Computes gradients in place of `loss.backward()`, as `custom_backward` of an adapter's training step.

    In float16 the loss is scaled, and gradients that overflow are dropped, so that the step changes nothing. Gradients
    are the mean over `accumulate` batches: until the last of them the optimizers find none. That is for methods with
    one optimizer step, such as DMSRL.

    Args:
        fabric: sets the precision.
        adapter: whose parameters get gradients.
        clip: largest norm of all gradients together, above 0; None for no limit.
        accumulate: number of batches of an optimizer step, at least 1.

    Raises:
        ValueError: a number out of range.

    Examples:
        >>> from pytorch_adapt.adapters import Classifier
        >>> from pytorch_adapt.containers import Models
        >>> G, C = nn.Linear(1, 1), nn.Linear(1, 2)
        >>> adapter = Classifier(models=Models({"G": G, "C": C}))
        >>> backward = BackwardPass(Fabric(accelerator="cpu"), adapter, clip=1.0)
        >>> backward(G(torch.full((1, 1), 100.0)).sum())
        >>> round(float(G.weight.grad), 2)
        1.0
    """

    def __init__(self, fabric: Fabric, adapter: BaseAdapter, clip: float | None = None, accumulate: int = 1) -> None:
        check_sizes(accumulate=accumulate)
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be above 0 or None, got {clip}")
        self.fabric, self.adapter, self.clip, self.accumulate = fabric, adapter, clip, accumulate
        of_models = (model.parameters() for model in adapter.models.values())
        self.parameters = [one for parameters in of_models for one in parameters if one.requires_grad]
        self.calls = 0
        self.sums: list[Tensor] = []  # of the gradients of a group of batches that is not complete

    def __call__(self, loss: Tensor) -> None:
        self.fabric.backward(loss / self.accumulate if self.accumulate > 1 else loss)
        self._unscale()
        if self.accumulate > 1:
            self._add()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)

    def _unscale(self) -> None:
        """Takes out the factor on a float16 loss; without gradients where they overflowed."""
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        if scaler is None:
            return
        for optimizer in self.adapter.optimizers.values():
            if isinstance(optimizer, torch.optim.Optimizer):
                scaler.unscale_(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        if scaler.get_scale() < scale:
            self.adapter.models.zero_grad()

    def _add(self) -> None:
        self.calls += 1
        self.sums = self.sums or [torch.zeros_like(one) for one in self.parameters]
        is_last = self.calls % self.accumulate == 0
        for parameter, total in zip(self.parameters, self.sums, strict=True):
            if parameter.grad is not None:
                total += parameter.grad
            parameter.grad = total if is_last else None
        if is_last:
            self.sums = []

    def state_dict(self) -> dict[str, Any]:
        """Returns the gradients of an incomplete group for a checkpoint."""
        return {"calls": self.calls, "sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads what `state_dict` returned."""
        self.calls = state["calls"]
        self.sums = [one.to(parameter) for one, parameter in zip(state["sums"], self.parameters, strict=False)]
