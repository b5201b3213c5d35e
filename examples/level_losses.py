"""DMSRL with category margin and mutual information losses on global features, local features and earlier depths.

    python examples/level_losses.py [steps]

Source: handwritten digits of scikit-learn. Target: other digits on a noisy bright background, without labels.
"""

import sys

import torch
from pytorch_adapt.weighters import SumWeighter
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from dmsrl_adapt import (
    DEFAULT,
    DMSRLHook,
    LevelFeaturesHook,
    MarginMetricHook,
    MIMinimizationHook,
    MultiLevelBackbone,
    dmsrl_components,
)
from dmsrl_adapt.losses import AdversarialMILoss, CosineMarginLoss

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 150
torch.manual_seed(0)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=32, mode="bilinear")
ground = interpolate(torch.rand(897, 1, 4, 4), size=32, mode="bicubic")
source, source_labels = images[:900], labels[:900]
target, target_labels = (images[900:] + ground + 0.2 * torch.randn(897, 1, 32, 32)).clamp(-1, 1), labels[900:]

# the first two of the network's five depths; the last map is 8 x 8
G = MultiLevelBackbone("resnet10t", in_chans=1, levels=(0, 1), local=(2, 2), local_pool="max", fuse="norm")
levels = {"global": 1.0, "depth_0": 0.2, **{f"window_{row}_{column}": 0.1 for row in (0, 1) for column in (0, 1)}}
recipe = DEFAULT.without("margin", "mi")  # these losses are computed on levels instead of the fused feature
parts = dmsrl_components(G.feature_dim, 10, len(target), recipe, total_steps=steps)
models = {"G": G, "C": torch.nn.Linear(G.feature_dim, 10), **parts.models}
for name in levels:  # each level has its own layers
    models[f"margin_metric_level_{name}"] = CosineMarginLoss(10, G.level_dims[name])
    models[f"mi_critic_level_{name}"] = AdversarialMILoss(G.level_dims[name], 10)
hook = DMSRLHook(
    [torch.optim.Adam([p for model in models.values() for p in model.parameters()], lr=1e-3)],
    weighter=SumWeighter(weights=DEFAULT.loss_weights),
    pre=[LevelFeaturesHook(list(levels))],
    post=[MarginMetricHook(levels=levels), MIMinimizationHook(levels=levels)],
)
for step in range(steps):
    i, j = torch.randint(len(source), (64,)), torch.randint(len(target), (64,))
    batch = {"src_imgs": source[i], "src_labels": source_labels[i], "target_imgs": target[j], "target_sample_idx": j}
    _, losses = hook({**models, **parts.misc, **batch})
    if (step + 1) % 50 == 0:
        G.eval()
        with torch.no_grad():
            predicted = models["C"](G(target)).argmax(1)
        G.train()
        # labels of the target are used for scoring only
        accuracy = (predicted == target_labels).float().mean()
        print(
            f"step {step + 1}: target accuracy {accuracy:.3f},",
            {k: round(x, 3) for k, x in losses["total_loss"].items()},
        )
