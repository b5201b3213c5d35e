"""DMSRL in a plain PyTorch loop.

    python examples/plain_loop.py [steps]

Source: handwritten digits of scikit-learn. Target: other digits on a noisy bright background, without labels.
"""

import sys

import torch
from pytorch_adapt.containers import Misc, Models
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from dmsrl_adapt import DMSRL, MultiLevelBackbone, dmsrl_components

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 150
torch.manual_seed(0)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=32, mode="bilinear")
ground = interpolate(torch.rand(897, 1, 4, 4), size=32, mode="bicubic")
source, source_labels = images[:900], labels[:900]
target, target_labels = (images[900:] + ground + 0.2 * torch.randn(897, 1, 32, 32)).clamp(-1, 1), labels[900:]

G = MultiLevelBackbone("resnet10t", in_chans=1, local=None)
C = torch.nn.Linear(G.feature_dim, 10)
parts = dmsrl_components(feature_dim=G.feature_dim, num_classes=10, num_target=len(target), total_steps=steps)
adapter = DMSRL(models=Models({"G": G, "C": C, **parts.models}), misc=Misc(parts.misc))
for step in range(steps):
    i, j = torch.randint(len(source), (64,)), torch.randint(len(target), (64,))
    batch = {"src_imgs": source[i], "src_labels": source_labels[i], "target_imgs": target[j], "target_sample_idx": j}
    losses = adapter.training_step(batch)["total_loss"]
    if (step + 1) % 50 == 0 or step + 1 == steps:
        adapter.models.eval()
        with torch.no_grad():
            predicted = [adapter.inference(images)["logits"].argmax(1) for images in (source, target)]
        adapter.models.train()
        # labels of the target are used for scoring only
        right = [(p == y).float().mean() for p, y in zip(predicted, (source_labels, target_labels), strict=True)]
        print(f"step {step + 1}: source accuracy {right[0]:.3f}, target accuracy {right[1]:.3f},", end=" ")
        print({key: round(x, 3) for key, x in losses.items()})
