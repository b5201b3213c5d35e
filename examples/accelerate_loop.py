"""A DANN script with accelerate and parts of DMSRL, for any device and precision that accelerate supports.

    pip install 'dmsrl-adapt[accelerate]' scikit-learn
    accelerate launch examples/accelerate_loop.py [epochs]

Source: handwritten digits of scikit-learn. Target: other digits, black on grey with noise, without labels.
"""

import sys

import torch
from accelerate import Accelerator
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, SourceDataset, TargetDataset
from pytorch_adapt.hooks import DANNHook
from pytorch_adapt.models import Discriminator
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from dmsrl_adapt import MultiLevelBackbone, attach_dmsrl, dmsrl_components

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
torch.manual_seed(0)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = torch.nn.functional.interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=32, mode="bilinear")
noisy = 0.3 - 0.7 * images + 0.2 * torch.randn_like(images)
source, target = TensorDataset(images[:900], labels[:900]), TensorDataset(noisy[900:], labels[900:])
both = CombinedSourceAndTargetDataset(SourceDataset(source), TargetDataset(target))
loader = DataLoader(both, 64, shuffle=True, drop_last=True)

G = MultiLevelBackbone("resnet10t", in_chans=1, local=None)
parts = dmsrl_components(G.feature_dim, 10, num_target=len(target), total_steps=epochs * len(loader))
models = {"G": G, "C": torch.nn.Linear(G.feature_dim, 10), "D": Discriminator(G.feature_dim, 128), **parts.models}
optimizer = torch.optim.Adam([p for model in models.values() for p in model.parameters()], lr=1e-3)

accelerator = Accelerator()
loader, optimizer, *prepared = accelerator.prepare(loader, optimizer, *models.values())
models = dict(zip(models, prepared, strict=True))
misc = {
    key: module.to(accelerator.device) for key, module in parts.misc.items()
}  # buffers only, no need to prepare them
accelerator.register_for_checkpointing(*misc.values())
hook = attach_dmsrl(DANNHook([optimizer], gradient_reversal_weight=0.1))  # the one line
for epoch in range(epochs):
    for batch in loader:
        _, losses = hook({**models, **misc, **batch, "custom_backward": accelerator.backward})
    accelerator.print(f"epoch {epoch + 1}:", {key: round(x, 3) for key, x in losses["total_loss"].items()})
for model in models.values():
    model.eval()
with torch.no_grad():
    right = [
        (models["C"](models["G"](x.to(accelerator.device))).argmax(1).cpu() == y).float().mean()
        for x, y in (source.tensors, target.tensors)
    ]
# labels of the target are used for scoring only
accelerator.print(f"source accuracy {right[0]:.3f}, target accuracy {right[1]:.3f}")
