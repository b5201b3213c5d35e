"""Runs that are killed and go on, each in a fork of a process that has imported everything and computed nothing.

Arguments: folder, number of tries. For a plain loop and for upstream's Ignite wrapper it prints the digest of the run
that was not killed, and of each that was: of every weight, buffer, moment, schedule and random number at the end.
"""

import hashlib
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from pytorch_adapt.containers import LRSchedulers, Misc, Models
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, DataloaderCreator, SourceDataset, TargetDataset
from pytorch_adapt.frameworks.ignite import Ignite
from pytorch_adapt.validators import IMValidator, ScoreHistory
from torch import nn
from torch.utils.data import TensorDataset

from dmsrl_adapt import DMSRL, Checkpoints, dmsrl_components
from dmsrl_adapt.frameworks.ignite import ResumableCheckpointFn
from dmsrl_adapt.training import checkpoints

CLASSES, SIZE, NUMBER, STEPS, EPOCHS = 3, 6, 24, 12, 4


def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (2, NUMBER), generator=generator)
    images = torch.randn(2, NUMBER, 1, 6, 6, generator=generator) + labels[:, :, None, None, None]
    return images[0], labels[0], images[1]


def make_adapter():
    """An adapter with batch statistics, dropout and a schedule; random styles draw numbers too."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    G = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(32, 5))
    parts = dmsrl_components(5, CLASSES, NUMBER, total_steps=STEPS)
    schedule = LRSchedulers((torch.optim.lr_scheduler.StepLR, {"step_size": 3, "gamma": 0.5}))
    models = Models({"G": G, "C": nn.Linear(5, CLASSES), **parts.models})
    return DMSRL(models=models, misc=Misc(parts.misc), lr_schedulers=schedule)


def plain(folder, kill=lambda moment: None):
    adapter, (source, labels, target) = make_adapter(), data()
    saved = Checkpoints(folder, adapter)
    for step in range(saved.resume(), STEPS):
        i, j = torch.randint(NUMBER, (SIZE,)), torch.from_numpy(np.random.permutation(NUMBER)[:SIZE])
        batch = {"src_imgs": source[i], "src_labels": labels[i], "target_imgs": target[j], "target_sample_idx": j}
        kill(2 * step)
        adapter.training_step(batch)
        adapter.lr_schedulers.step("per_step")
        kill(2 * step + 1)
        if step % 2:
            saved.save(step + 1)
    return adapter


def wrapped(folder, kill=lambda moment: None):
    adapter, (source, labels, target) = make_adapter(), data()
    step, count = adapter.hook, iter(range(2 * STEPS))

    def counted(*args):
        kill(next(count))
        result = step(*args)
        kill(next(count))
        return result

    adapter.hook = counted
    target = TargetDataset(TensorDataset(target, torch.zeros(NUMBER)))
    combined = CombinedSourceAndTargetDataset(SourceDataset(TensorDataset(source, labels)), target)
    checkpoint_fn = ResumableCheckpointFn(folder)
    validator = ScoreHistory(IMValidator(key_map={"target_train": "target_train"}))
    trainer = Ignite(adapter, validator, checkpoint_fn=checkpoint_fn, with_pbars=False)
    loaders = DataloaderCreator(batch_size=2 * SIZE)
    datasets = {"train": combined, "target_train": target}
    trainer.run(datasets, loaders, max_epochs=EPOCHS, resume=checkpoint_fn.last())
    adapter.misc["scores"] = validator
    return adapter


def told(digest, value):
    """Adds every number of nested containers to a digest."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            told(digest, str(key))
            told(digest, value[key])
    elif isinstance(value, (list, tuple)):
        for one in value:
            told(digest, one)
    else:
        value = value.numpy() if isinstance(value, torch.Tensor) else value
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())


def digest_of(adapter):
    digest = hashlib.sha256()
    for container in (adapter.models, adapter.optimizers, adapter.lr_schedulers, adapter.misc):
        told(digest, container.state_dict())
    told(digest, checkpoints.random_state())
    return digest.hexdigest()


def killer(moment, is_torn):
    """Kills this process at a moment, or in the middle of the next save after it."""

    def kill(now):
        if now != moment:
            return
        if is_torn:
            whole = torch.save

            def half(content, file, *args, **kwargs):
                whole(content, file, *args, **kwargs)
                file.truncate(file.tell() // 2)
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)

            torch.save = half
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def in_a_fork(function):
    """Runs a function in a fork; gives its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder, tries):
    torch.set_num_threads(1)
    drawn = random.Random(1)
    for kind, run, steps in (("plain", plain, STEPS), ("ignite", wrapped, EPOCHS * NUMBER // (2 * SIZE))):

        def finish(number, kind=kind, run=run):
            print(kind, digest_of(run(folder / kind / str(number))), flush=True)

        in_a_fork(lambda finish=finish: finish("whole"))
        for number in range(tries):
            kill = killer(drawn.randrange(2 * steps - 1), is_torn=number % 4 == 3)
            status = in_a_fork(lambda run=run, at=folder / kind / str(number), kill=kill: run(at, kill))
            assert status == -signal.SIGKILL, status
            in_a_fork(lambda finish=finish, number=number: finish(number))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
