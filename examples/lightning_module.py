"""MCD with parts of DMSRL in Lightning 2: a label-free validator, best checkpoint and early stopping.

    pip install 'dmsrl-adapt[lightning]' scikit-learn
    python examples/lightning_module.py [max_epochs]

Source: handwritten digits of scikit-learn. Target: other digits, black on grey with noise, without labels.
"""

import logging
import sys
import tempfile

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_adapt.adapters import MCD
from pytorch_adapt.containers import Models, Optimizers
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, SourceDataset, TargetDataset
from pytorch_adapt.layers import MultipleModels
from pytorch_adapt.validators import IMValidator
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from dmsrl_adapt import MultiLevelBackbone, attach_dmsrl, dmsrl_components
from dmsrl_adapt.frameworks.lightning import LightningAdapter

max_epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
lightning.seed_everything(0, verbose=False)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = torch.nn.functional.interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=32, mode="bilinear")
noisy = 0.3 - 0.7 * images + 0.2 * torch.randn_like(images)
source, target = TensorDataset(images[:900], labels[:900]), TensorDataset(noisy[900:], labels[900:])
train = DataLoader(
    CombinedSourceAndTargetDataset(SourceDataset(source), TargetDataset(target)), 64, shuffle=True, drop_last=True
)
target_train = DataLoader(TargetDataset(target), 256)

G = MultiLevelBackbone("resnet10t", in_chans=1, local=None)
C = MultipleModels(torch.nn.Linear(G.feature_dim, 10), torch.nn.Linear(G.feature_dim, 10))
adam = Optimizers((torch.optim.Adam, {"lr": 1e-3}))
adapter = MCD(models=Models({"G": G, "C": C}), optimizers=adam)
adapter = attach_dmsrl(adapter, dmsrl_components(G.feature_dim, 10, num_target=len(target)))  # the one line
module = LightningAdapter(adapter, validator=IMValidator(key_map={"target_train": "target_train"}))
with tempfile.TemporaryDirectory() as folder:
    best = ModelCheckpoint(folder, monitor="validation_score", mode="max")
    trainer = lightning.Trainer(
        max_epochs=max_epochs,
        callbacks=[best, EarlyStopping("validation_score", patience=3, mode="max")],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train, target_train)
    print({key: round(float(x), 3) for key, x in trainer.callback_metrics.items()})
    module.load_state_dict(torch.load(best.best_model_path, weights_only=False)["state_dict"])
module.eval()
with torch.no_grad():
    right = [(module(x)["logits"].argmax(1) == y).float().mean() for x, y in (source.tensors, target.tensors)]
# labels of the target are used for scoring only
print(f"source accuracy {right[0]:.3f}, target accuracy {right[1]:.3f}")
