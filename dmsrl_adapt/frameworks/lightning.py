"""Adapters of pytorch-adapt as LightningModules for Lightning 2."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.frameworks.utils import collector_step, create_output_dict
from torch import Tensor, nn

try:
    from lightning import LightningModule
except ImportError as error:
    raise ImportError(
        "dmsrl_adapt.frameworks.lightning needs Lightning: pip install 'dmsrl-adapt[lightning]'"
    ) from error

from .. import keys
from ..adapter import set_length
from ..hooks.backbone import other_inputs
from ..inference import infer


class LightningAdapter(LightningModule):
    """Trains any adapter of pytorch-adapt with `lightning.Trainer`; upstream's own wrapper needs Lightning below 2.

    Lightning moves and saves the models and the modules in `misc`. Losses are logged under keys such as
    `total_loss/src_c_loss`. Warm-ups run over the trainer's batches; if their number is unknown, as with
    `max_epochs=-1` alone, pass `total_steps` to `dmsrl_components`. Lightning's `max_steps` counts the steps of each
    optimizer, so one batch counts several times.

    Args:
        adapter: an adapter of pytorch-adapt; call `attach_dmsrl` on it before.
        validator: validator of pytorch-adapt; its score is logged as `validation_score`, for `ModelCheckpoint` and
            `EarlyStopping`.
        splits: for each validation loader of the trainer, the validator's name of its split.

    Examples:
        >>> from pytorch_adapt.adapters import Classifier
        >>> from pytorch_adapt.containers import Models
        >>> module = LightningAdapter(Classifier(models=Models({"G": nn.Linear(4, 8), "C": nn.Linear(8, 3)})))
        >>> module(torch.zeros(2, 4))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(self, adapter: BaseAdapter, validator: Any = None, splits: Sequence[str] = ("target_train",)) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.adapter, self.validator, self.splits = adapter, validator, tuple(splits)
        self.models = nn.ModuleDict(adapter.models)
        self.misc = nn.ModuleDict({key: one for key, one in adapter.misc.items() if isinstance(one, nn.Module)})
        # Lightning does not accept upstream's placeholder optimizer of a module without parameters
        real = {key: opt for key, opt in adapter.optimizers.items() if isinstance(opt, torch.optim.Optimizer)}
        self.own_optimizers: dict[str, torch.optim.Optimizer] = real
        self.steps_per_batch = max(
            len(real), 1
        )  # optimizer steps, measured at the first batch: some step several times
        self.collected: dict[int, dict[str, list[Tensor]]] = {}

    def forward(self, x: Tensor, domain: int | None = None, **inputs: Any) -> dict[str, Tensor]:
        """Returns features and logits; see the adapter's `inference`. `inputs`: what G takes beside images."""
        return infer(self.adapter, x, domain, **inputs)

    def configure_optimizers(self) -> Any:
        """Returns the adapter's optimizers and schedulers, so that checkpoints hold them."""
        return list(self.own_optimizers.values()), list(self.adapter.lr_schedulers.values())

    def get_training_length(self) -> tuple[int, int | None]:
        """Returns the numbers of epochs and batches of the run, like upstream's Ignite wrapper.

        Epochs are -1 without a limit, batches None if their number is unknown.
        """
        epochs, limits = self.trainer.max_epochs, list[float]()
        if self.trainer.max_steps != -1:
            limits.append(math.ceil(self.trainer.max_steps / self.steps_per_batch))
        if epochs is not None and epochs != -1:
            self.trainer.estimated_stepping_batches  # noqa: B018, creates the loader, which sets the number of batches
            limits.append(self.trainer.num_training_batches * epochs)
        known = [int(limit) for limit in limits if math.isfinite(limit)]
        return -1 if epochs is None else epochs, min(known, default=None)

    def on_fit_start(self) -> None:
        """Calls the adapter's start of training, which sets the length of warm-ups."""
        self.adapter.before_training_starts(self)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Runs one step of the adapter with Lightning's optimizers and backward pass."""
        wrapped = self.optimizers()
        wrapped = wrapped if isinstance(wrapped, list) else [wrapped]
        self.adapter.optimizers.update(zip(self.own_optimizers, wrapped, strict=True))
        before = self.trainer.global_step
        losses = self.adapter.training_step(batch, custom_backward=self.manual_backward)
        self._count(self.trainer.global_step - before)
        self.log_dict({f"{step}/{key}": x for step, parts in losses.items() for key, x in parts.items()}, batch_size=1)
        self.adapter.lr_schedulers.step("per_step")

    def _count(self, steps: int) -> None:
        """Updates the number of optimizer steps per batch, and with `max_steps` the length of warm-ups."""
        if steps in (0, self.steps_per_batch):
            return
        self.steps_per_batch = steps
        if self.trainer.max_steps != -1 and keys.TRAINING_PROGRESS in self.adapter.misc:
            set_length(self.adapter.misc[keys.TRAINING_PROGRESS], self)

    def on_train_epoch_end(self) -> None:
        """Steps the schedulers that count epochs."""
        self.adapter.lr_schedulers.step("per_epoch")

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Returns features and logits of a batch, for `Trainer.predict`.

        Args:
            batch: inputs of G, a list or tuple that starts with them, or a dict of one domain with the keys of
                training.
            batch_idx: not used.
            dataloader_idx: not used.
        """
        if not isinstance(batch, dict):
            return self(batch if isinstance(batch, Tensor) else batch[0])
        domain = keys.SRC if keys.imgs(keys.SRC) in batch else keys.TARGET
        others = other_inputs(self.adapter.models[keys.G], batch, domain)
        return self(batch[keys.imgs(domain)], int(domain == keys.TARGET), **others)

    def on_validation_epoch_start(self) -> None:
        """Clears the outputs of the last validation."""
        self.collected = defaultdict(lambda: defaultdict(list))

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collects features, logits and labels of a batch of one domain."""
        domain = keys.SRC if keys.imgs(keys.SRC) in batch else keys.TARGET
        others = other_inputs(self.adapter.models[keys.G], batch, domain)
        rest = {key: values for key, values in batch.items() if key.removeprefix(f"{keys.imgs(domain)}_") not in others}
        for key, values in collector_step(partial(self, **others), rest, create_output_dict).items():
            self.collected[dataloader_idx][key].append(values)

    def on_validation_epoch_end(self) -> None:
        """Logs the validator's score."""
        if self.validator is None or not self.collected:
            return
        splits = [{key: torch.cat(rows) for key, rows in split.items()} for _, split in sorted(self.collected.items())]
        score = self.validator(**dict(zip(self.splits, splits, strict=True)))
        self.log("validation_score", float(score))
