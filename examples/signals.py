"""DMSRL on time series, with a 1-D convolutional network as G.

    python examples/signals.py [steps]

Source: five kinds of waves of random frequency and phase. Target: other waves through a resonant sensor, with noise and
drift, without labels. Signals (N, C, L) are not augmented, which is for images only.
"""

import sys

import torch
from pytorch_adapt.containers import Misc, Models
from torch import nn

from dmsrl_adapt import DMSRL, dmsrl_components

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
torch.manual_seed(0)


def waves(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns signals (count, 1, 128) and their kinds: sine, square, saw, pulses, chirp."""
    kinds, time = torch.randint(5, (count,)), torch.arange(128) / 128
    turns = (3 + 5 * torch.rand(count, 1)) * time + torch.rand(count, 1)
    sine = torch.sin(2 * torch.pi * turns)
    chirp = torch.sin(2 * torch.pi * turns * (0.5 + time))
    forms = torch.stack([sine, sine.sign(), 2 * (turns % 1) - 1, 2.0 * (turns % 1 < 0.15) - 0.5, chirp])
    return forms[kinds, torch.arange(count)][:, None], kinds


source, source_kinds = waves(2000)
target, target_kinds = waves(2000)
time = torch.arange(15.0)
sensor = torch.exp(-time / 5) * torch.cos(time)  # its impulse response
target = nn.functional.conv1d(target, sensor.flip(0)[None, None] / sensor.norm(), padding="same")
target = target + 0.2 * torch.randn_like(target) + torch.randn(2000, 1, 1) * torch.linspace(-0.5, 0.5, 128)


def conv(inputs: int, outputs: int) -> nn.Sequential:
    """Returns a convolution that halves the length of a signal."""
    return nn.Sequential(nn.Conv1d(inputs, outputs, 7, 2, 3), nn.BatchNorm1d(outputs), nn.ReLU())


G = nn.Sequential(conv(1, 16), conv(16, 32), conv(32, 64), nn.AdaptiveAvgPool1d(1), nn.Flatten())
parts = dmsrl_components(64, 5, len(target), total_steps=steps)
models = Models({"G": G, "C": nn.Linear(64, 5), **parts.models})
adapter = DMSRL(models=models, misc=Misc(parts.misc))
for step in range(steps):
    i, j = torch.randint(len(source), (64,)), torch.randint(len(target), (64,))
    batch = {"src_imgs": source[i], "src_labels": source_kinds[i], "target_imgs": target[j], "target_sample_idx": j}
    losses = adapter.training_step(batch)["total_loss"]
    if (step + 1) % 100 == 0 or step + 1 == steps:
        adapter.models.eval()
        predicted = [adapter.inference(signals)["logits"].argmax(1) for signals in (source, target)]
        adapter.models.train()
        # kinds of the target are used for scoring only
        right = [(p == y).float().mean() for p, y in zip(predicted, (source_kinds, target_kinds), strict=True)]
        print(f"step {step + 1}: source accuracy {right[0]:.3f}, target accuracy {right[1]:.3f},", end=" ")
        print({key: round(x, 3) for key, x in losses.items()})
