"""Some steps of DMSRL under Ignite's `idist` and DistributedDataParallel, in one of several processes.

Arguments: folder, number of this process, number of processes, "equal" or "unequal" numbers of batches. Writes losses
and states.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from pytorch_adapt.containers import Misc, Models, Optimizers
from pytorch_adapt.frameworks.ignite import Ignite
from torch import nn

from dmsrl_adapt import DMSRL, Checkpoints, dmsrl_components
from dmsrl_adapt.recipes import DEFAULT

CLASSES, DIM, SIZE, NUM_TARGET, STEPS = 3, 5, 16, 32, 6
# styles are random numbers, of which each process draws its own
RECIPE = replace(DEFAULT.without("style").without("view"), mi_images_only=False)


def batches(number, processes):
    """This process's share of every step. In the last step no target sample of process 0 is anything known."""
    generator, shares = torch.Generator().manual_seed(0), []
    labels = torch.randint(CLASSES, (2, STEPS, SIZE), generator=generator)
    images = 2 * torch.eye(6)[labels] + 0.5 * torch.randn(2, STEPS, SIZE, 6, generator=generator)
    images[1, -1, : SIZE // processes] = 0
    for step in range(STEPS):
        mine = slice(number * SIZE // processes, (number + 1) * SIZE // processes)
        sample_idx = (torch.arange(SIZE) + step * SIZE) % NUM_TARGET
        batch = {"src_imgs": images[0, step], "src_labels": labels[0, step], "target_imgs": images[1, step] + 0.5}
        shares.append({key: value[mine] for key, value in {**batch, "target_sample_idx": sample_idx}.items()})
    return shares


def make_adapter():
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, DIM))
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, RECIPE)
    models = Models({"G": G, "C": nn.Linear(DIM, CLASSES), **parts.models})
    sgd = Optimizers((torch.optim.SGD, {"lr": 0.1}))
    return DMSRL(models=models, optimizers=sgd, misc=Misc(parts.misc), hook_kwargs={"recipe": RECIPE})


def train(number=0, processes=1, count=STEPS, checkpoints=None):
    """Gives losses of every step and the states at the end, of the modules inside of their wrappers."""
    adapter, losses = make_adapter(), []
    step = adapter.hook

    def noted(*args):
        result = step(*args)
        losses.append(result[1]["total_loss"])
        return result

    adapter.hook = noted
    trainer = Ignite(adapter, with_pbars=False)
    trainer.run(dataloaders={"train": batches(number, processes)[:count]}, max_epochs=1)
    if checkpoints:
        saved = Checkpoints(checkpoints, adapter)
        saved.save(1)
        if number == 0:  # the others were killed before
            saved.save(2)
        assert saved.resume() == (1 if processes > 1 else 2)
    modules = {**adapter.models, **adapter.misc}
    states = {key: getattr(module, "module", module).state_dict() for key, module in modules.items()}
    adapter.misc["pseudo_labeler"].relabel(
        (adapter.inference(batch["target_imgs"])["features"], batch["target_sample_idx"])
        for batch in batches(number, processes)
    )
    return {"losses": losses, "states": states, "labels": adapter.misc["pseudo_labeler"].labels}


def main(folder, number, processes, kind):
    torch.set_num_threads(1)
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=number, world_size=processes)
    count = STEPS - number if kind == "unequal" else STEPS
    torch.save(train(number, processes, count, folder / "checkpoints"), folder / f"result{number}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
