"""Some steps of DMSRL under Ignite's `idist` and DistributedDataParallel, in forks of a process that has imported
everything and computed nothing.

Argument: folder. Writes losses and states of 2 and of 4 processes, and what unequal numbers of batches end in.
"""

import datetime
import sys
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from pytorch_adapt.containers import Optimizers
from pytorch_adapt.frameworks.ignite import Ignite
from torch import nn

from dmsrl_adapt import DMSRL, Checkpoints, dmsrl_components
from dmsrl_adapt.recipe import DEFAULT

from .scripts import in_forks

CLASSES, DIM, SIZE, NUM_TARGET, STEPS = 3, 5, 16, 32, 6
EXCHANGED: list[int] = []  # numbers given to each sum over processes
# every target image is augmented, and source images as far as they are learned; by copies that the batch brings
RECIPE = DEFAULT.replace("consistency", probability=1.0).replace("augmentation", probability=0.9)


def batches(number, processes):
    """This process's share of every step. In the last one the first quarter of the target shows nothing."""
    generator, shares = torch.Generator().manual_seed(0), []
    labels = torch.randint(CLASSES, (2, STEPS, SIZE), generator=generator)
    images = 2 * torch.eye(6)[labels] + 0.5 * torch.randn(2, STEPS, SIZE, 6, generator=generator)
    images[1, -1, : SIZE // 4] = 0
    images = images.view(2, STEPS, SIZE, 1, 2, 3)
    copies = images + 0.5 * torch.randn(images.shape, generator=generator)
    for step in range(STEPS):
        mine = slice(number * SIZE // processes, (number + 1) * SIZE // processes)
        sample_idx = (torch.arange(SIZE) + step * SIZE) % NUM_TARGET
        batch = {"src_imgs": images[0, step], "src_labels": labels[0, step], "target_imgs": images[1, step] + 0.5}
        batch |= {"src_imgs_augmented": copies[0, step], "target_imgs_augmented": copies[1, step] + 0.5}
        shares.append({key: value[mine] for key, value in {**batch, "target_sample_idx": sample_idx}.items()})
    return shares


def make_adapter(norm=nn.LayerNorm):
    torch.manual_seed(0)
    G = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), norm(8), nn.Tanh(), nn.Linear(8, DIM))
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, RECIPE)
    sgd = Optimizers((torch.optim.SGD, {"lr": 0.1}))
    return DMSRL.of(G, nn.Linear(DIM, CLASSES), parts, optimizers=sgd)


def shared_draws(number, processes):
    """Which images are augmented is drawn as in one process with all of them, where each takes its own."""
    generator, draw = torch.Generator().manual_seed(0), torch.rand

    def rand(size, **kwargs):
        return draw(SIZE, generator=generator)[number * size : (number + 1) * size]

    return mock.patch.object(torch, "rand", rand)


def counted(numbers, collective):
    """A collective that notes how many numbers it is given."""

    def wrapper(tensor, *args, **kwargs):
        numbers.append(tensor.numel())
        return collective(tensor, *args, **kwargs)

    return wrapper


def train(number=0, processes=1, count=STEPS, checkpoints=None):
    """Returns losses of every step and the states at the end, of the modules inside of their wrappers."""
    adapter, losses, numbers_augmented = make_adapter(), [], []
    step = adapter.hook

    def noted(*args):
        result = step(*args)
        losses.append(result[1]["total_loss"])
        numbers_augmented.append(result[0]["src_imgs_is_augmented"].sum().item())
        return result

    adapter.hook = noted
    trainer = Ignite(adapter, with_pbars=False)
    with shared_draws(number, processes):
        trainer.run(dataloaders={"train": batches(number, processes)[:count]}, max_epochs=1)
    exchanged = sum(EXCHANGED)
    if checkpoints:
        saved = Checkpoints(checkpoints, adapter)
        saved.save(1)
        if number == 0:  # the others were killed before
            saved.save(2)
        assert saved.resume() == (1 if processes > 1 else 2)
    modules = {**adapter.models, **adapter.misc}
    states = {key: getattr(module, "module", module).state_dict() for key, module in modules.items()}
    before_pass = sum(EXCHANGED)
    adapter.misc["pseudo_labeler"].relabel(
        (adapter.inference(batch["target_imgs"])["features"], batch["target_sample_idx"])
        for batch in batches(number, processes)
    )
    return {
        "losses": losses,
        "numbers_augmented": numbers_augmented,
        "exchanged": exchanged,
        "exchanged_in_pass": sum(EXCHANGED) - before_pass,
        "states": states,
        "labels": adapter.misc["pseudo_labeler"].labels,
    }


def work(folder, number, processes, is_equal):
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    wait = datetime.timedelta(seconds=300)
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=processes, timeout=wait)
    dist.all_reduce = counted(EXCHANGED, dist.all_reduce)
    if is_equal:
        result = train(number, processes, checkpoints=folder / "checkpoints")
    else:
        try:
            result = train(number, processes, STEPS - number)
        except ValueError as error:
            result = str(error)
    torch.save(result, folder / f"result{number}.pt")


def main(folder):
    for name, processes, is_equal in (("2", 2, True), ("4", 4, True), ("unequal", 2, False)):
        (folder / name).mkdir()
        in_forks(work, [(folder / name, number, processes, is_equal) for number in range(processes)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
