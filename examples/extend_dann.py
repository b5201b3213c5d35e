"""An existing DANN script without and with DMSRL: one more line, and the modules it needs.

    python examples/extend_dann.py [steps]

Source: handwritten digits of scikit-learn. Target: other digits on a noisy bright background, without labels.
"""

import sys

import torch
from pytorch_adapt.hooks import DANNHook
from pytorch_adapt.models import Discriminator
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from dmsrl_adapt import attach_dmsrl, dmsrl_components

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
torch.manual_seed(0)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=16, mode="bilinear")
ground = interpolate(torch.rand(897, 1, 4, 4), size=16, mode="bicubic")
source, source_labels = images[:900], labels[:900]
target, target_labels = (images[900:] + ground + 0.2 * torch.randn(897, 1, 16, 16)).clamp(-1, 1), labels[900:]


def convolution(inputs: int, outputs: int) -> torch.nn.Sequential:
    """Returns a convolution that halves the side of an image."""
    layers = (torch.nn.Conv2d(inputs, outputs, 3, 2, 1), torch.nn.BatchNorm2d(outputs), torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


for with_dmsrl in (False, True):
    torch.manual_seed(0)
    models = {
        "G": torch.nn.Sequential(convolution(1, 32), convolution(32, 64), torch.nn.Flatten()),
        "C": torch.nn.Linear(1024, 10),
        "D": Discriminator(in_size=1024, h=128),
    }
    parts = dmsrl_components(feature_dim=1024, num_classes=10, num_target=len(target), total_steps=steps)
    if with_dmsrl:
        models |= parts.models
    optimizer = torch.optim.Adam([p for model in models.values() for p in model.parameters()], lr=1e-3)
    hook = DANNHook([optimizer], gradient_reversal_weight=0.1)
    if with_dmsrl:
        hook = attach_dmsrl(hook)
    for _ in range(steps):
        i, j = torch.randint(len(source), (64,)), torch.randint(len(target), (64,))
        batch = {"src_imgs": source[i], "src_labels": source_labels[i], "src_domain": torch.zeros(64)}
        batch |= {"target_imgs": target[j], "target_domain": torch.ones(64), "target_sample_idx": j}
        _, losses = hook({**models, **parts.misc, **batch})
    models["G"].eval()
    with torch.no_grad():
        predicted = [models["C"](models["G"](images)).argmax(1) for images in (source, target)]
    # labels of the target are used for scoring only
    right = [(p == y).float().mean() for p, y in zip(predicted, (source_labels, target_labels), strict=True)]
    print("DANN + DMSRL:" if with_dmsrl else "DANN:", {key: round(x, 3) for key, x in losses["total_loss"].items()})
    print(f"source accuracy {right[0]:.3f}, target accuracy {right[1]:.3f}")
