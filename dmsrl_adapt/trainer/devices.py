"""Where training runs: devices, processes and precision, by Lightning Fabric."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from pytorch_adapt.adapters import BaseAdapter
from torch import nn

from .. import keys


def make_fabric(
    devices: int = 1, precision: Any = "32-true", accelerator: str | None = None, loggers: Sequence[Any] = ()
) -> Fabric:
    """Returns a Fabric for a number of processes with one device each.

    Args:
        devices: processes, each with a GPU of its own, or on the CPU.
        precision: as Fabric has it: "32-true", "bf16-mixed", "16-mixed" and others.
        accelerator: "cuda", "cpu" and others of Fabric; None for GPUs where there are some, else the CPU.
        loggers: of Fabric.
    """
    chosen = accelerator or ("cuda" if torch.cuda.is_available() else "cpu")
    # each step calls G several times, and DDP would overwrite batch statistics that backward needs
    strategy: Any = DDPStrategy(broadcast_buffers=False) if devices > 1 else "auto"
    return Fabric(accelerator=chosen, strategy=strategy, devices=devices, precision=precision, loggers=list(loggers))


def place(adapter: BaseAdapter, fabric: Fabric) -> None:
    """Moves all modules of an adapter to the device; with several processes, trained ones are wrapped for DDP.

    Upstream moves those in `models` only.
    """
    adapter.models.to(fabric.device)
    for module in adapter.misc.values():
        if isinstance(module, nn.Module):
            module.to(fabric.device)
    if fabric.world_size > 1:
        for key, module in adapter.models.items():
            if any(parameter.requires_grad for parameter in module.parameters()):
                adapter.models[key] = fabric.strategy.setup_module(module)


def unwrapped(module: nn.Module) -> nn.Module:
    """Returns the module that DDP wraps; another module as it is."""
    return module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module


def device_of(adapter: BaseAdapter) -> torch.device:
    """Returns the device of an adapter's G; the CPU for a G without parameters."""
    return next((one.device for one in adapter.models[keys.G].parameters()), torch.device("cpu"))
