"""DMSRL on feature vectors, for example of a frozen network, sensors or a table; G is a small network on them.

    python examples/feature_vectors.py [steps]

Source: the 64 pixel values of handwritten digits of scikit-learn. Target: other digits, with another gain and offset
for each value, without labels. For inputs that are not images the default recipe has no augmentation, and the critic's
gradient does not reach the features.
"""

import sys

import torch
from pytorch_adapt.containers import Misc, Models
from sklearn.datasets import load_digits
from torch import nn

from dmsrl_adapt import DMSRL, dmsrl_components

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
torch.manual_seed(0)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
vectors = digits.float() / 8 - 1
sensors = (0.4 + 1.2 * torch.rand(64)) * vectors + 0.8 * torch.randn(64)
source, source_labels, target, target_labels = vectors[:900], labels[:900], sensors[900:], labels[900:]


def accuracy(adapter: DMSRL, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Returns the accuracy, 0..1."""
    adapter.models.eval()
    predicted = adapter.inference(inputs)["logits"].argmax(1)
    adapter.models.train()
    return (predicted == labels).float().mean().item()


G = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU())
parts = dmsrl_components(feature_dim=64, num_classes=10, num_target=len(target), total_steps=steps)
adapter = DMSRL(models=Models({"G": G, "C": nn.Linear(64, 10), **parts.models}), misc=Misc(parts.misc))
for step in range(steps):
    i, j = torch.randint(len(source), (64,)), torch.randint(len(target), (64,))
    batch = {"src_imgs": source[i], "src_labels": source_labels[i], "target_imgs": target[j], "target_sample_idx": j}
    losses = adapter.training_step(batch)["total_loss"]
    if (step + 1) % 100 == 0 or step + 1 == steps:
        # labels of the target are used for scoring only
        right = accuracy(adapter, source, source_labels), accuracy(adapter, target, target_labels)
        print(f"step {step + 1}: source accuracy {right[0]:.3f}, target accuracy {right[1]:.3f},", end=" ")
        print({key: round(x, 3) for key, x in losses.items()})
