"""DMSRL with upstream's Ignite wrapper: upstream's data sets, validator, best checkpoint and early stopping.

    python examples/ignite_wrapper.py [max_epochs]

Source: handwritten digits of scikit-learn, white on black. Target: other digits, black on grey with noise.
"""

import sys
import tempfile

import torch
from pytorch_adapt.containers import Misc, Models
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, DataloaderCreator, SourceDataset, TargetDataset
from pytorch_adapt.frameworks.ignite import CheckpointFnCreator, Ignite
from pytorch_adapt.validators import AccuracyValidator, IMValidator, ScoreHistory
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

from dmsrl_adapt import DMSRL, MultiLevelBackbone, dmsrl_components

torch.manual_seed(0)
digits, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = torch.nn.functional.interpolate(digits.float().view(-1, 1, 8, 8) / 8 - 1, size=32, mode="bilinear")
noisy = 0.3 - 0.7 * images + 0.2 * torch.randn_like(images)
source = TensorDataset(images[:900], labels[:900])
target = TensorDataset(noisy[900:], labels[900:])
datasets = {
    "train": CombinedSourceAndTargetDataset(SourceDataset(source), TargetDataset(target)),
    "target_train": TargetDataset(target),
}

G = MultiLevelBackbone("resnet10t", in_chans=1, local=None)
C = torch.nn.Linear(G.feature_dim, 10)
parts = dmsrl_components(feature_dim=G.feature_dim, num_classes=10, num_target=len(target))
adapter = DMSRL(models=Models({"G": G, "C": C, **parts.models}), misc=Misc(parts.misc))
with tempfile.TemporaryDirectory() as folder:
    # the score needs no target labels: it is highest for confident and diverse predictions
    trainer = Ignite(
        adapter,
        validator=ScoreHistory(IMValidator(key_map={"target_train": "target_train"})),
        checkpoint_fn=CheckpointFnCreator(dirname=folder, require_empty=False),
    )
    max_epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    stop = {"patience": 3}  # epochs without a better score
    loaders = DataloaderCreator(batch_size=64)
    score, epoch = trainer.run(datasets, loaders, early_stopper_kwargs=stop, max_epochs=max_epochs)
    losses = trainer.trainer.state.output["total_loss"]
    print(f"best label-free score {score:.3f} after epoch {epoch},", {key: round(x, 3) for key, x in losses.items()})
    # labels of the target are used for scoring only
    scored = {"src_val": SourceDataset(source), "target_val": TargetDataset(target, supervised=True)}
    for split, of_split in scored.items():
        accuracy = trainer.evaluate_best_model({split: of_split}, AccuracyValidator(key_map={split: "src_val"}))
        print(f"{'source' if split == 'src_val' else 'target'} accuracy {accuracy:.3f}")
