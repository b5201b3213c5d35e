"""The figures of a task in a report."""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from sklearn.isotonic import isotonic_regression
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from .comparison import CEILING, FLOOR
from .results import Result
from .tables import by_seed, by_task_and_method, headline

# labels with an explanation, for the two reference methods
LABELS = {FLOOR: "source_only\n(no adaptation)", CEILING: "target_supervised\n(sees target labels)"}
COLOURS = {FLOOR: "#9a9a9a", CEILING: "#4d4d4d", "dmsrl": "#d62728", "dmsrl_published": "#ff9896"}
DOMAINS = {"source": "#1f77b4", "target": "#ff7f0e"}
OTHERS = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#17becf", "#bcbd22", "#e377c2", "#7f7f7f", "#393b79", "#637939")
Runs = dict[str, list[Result]]
Panel = tuple[str, dict[str, np.ndarray]]
MOST_NUMBERS = 15  # largest number of classes for which a confusion matrix shows numbers


def colours(methods: list[str]) -> dict[str, str]:
    """Returns a colour for every method, the same in all figures of a report."""
    others = [name for name in sorted(methods) if name not in COLOURS]
    return {**COLOURS, **{name: OTHERS[number % len(OTHERS)] for number, name in enumerate(others)}}


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure to a file and closes it."""
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return path


def plain(axes: Axes) -> None:
    """Removes the upper and right spines."""
    axes.spines[["top", "right"]].set_visible(False)


def bars(task: str, methods: Runs, palette: dict[str, str], path: Path) -> Path:
    """Draws one bar per method: the mean over seeds, with the standard deviation and one dot per seed."""
    metric = next(iter(methods.values()))[0]["metric"]
    names = sorted(methods, key=lambda name: headline(methods[name]))
    seeds = max(map(len, methods.values()))
    figure, axes = plt.subplots(figsize=(7, 0.45 * len(names) + 1.2))
    for row, name in enumerate(names):
        scores = np.array(list(by_seed(methods[name]).values()))
        end = mean = scores.mean()
        axes.barh(row, mean, color=palette[name], height=0.7)
        if len(scores) > 1:
            spread = scores.std(ddof=1)
            axes.errorbar(mean, row, xerr=spread, color="black", capsize=3, lw=1.2)
            axes.plot(scores, np.full(len(scores), row), "o", color="white", mec="black", mew=0.8, ms=4, zorder=3)
            end = max(mean + spread, scores.max())
        axes.text(end + 1.2, row, f"{mean:.1f}", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [LABELS.get(name, name) for name in names])
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"target {metric.replace('_', ' ')} after the last step, %")
    what = f"bar: mean of {seeds} seeds, line: standard deviation, dots: single seeds" if seeds > 1 else "one seed"
    axes.set_title(f"{task}: target {metric.replace('_', ' ')}\n({what})", fontsize=10)
    plain(axes)
    return save(figure, path)


def learning_curves(task: str, methods: Runs, palette: dict[str, str], path: Path) -> Path:
    """Draws the score over training steps: mean over seeds with a band of one standard deviation."""
    metric = next(iter(methods.values()))[0]["metric"]
    figure, axes = plt.subplots(figsize=(7, 4.2))
    axes.margins(x=0)
    ends = []
    for name, all_runs in methods.items():
        # runs of other lengths cannot be averaged with these
        steps = [point["step"] for point in max(all_runs, key=lambda run: run["steps"])["curve"]]
        runs = [run for run in all_runs if [point["step"] for point in run["curve"]] == steps]
        scores = 100 * np.array([[point[metric] for point in run["curve"]] for run in runs], dtype=float)
        mean, spread = scores.mean(0), scores.std(0, ddof=1 if len(scores) > 1 else 0)
        style = "--" if name in (FLOOR, CEILING) else "-"
        axes.plot(steps, mean, style, color=palette[name], lw=2)
        axes.fill_between(steps, mean - spread, mean + spread, color=palette[name], alpha=0.12, lw=0)
        ends.append((mean[-1], name))
    label_ends(axes, sorted(ends), palette)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("training step")
    axes.set_ylabel(f"target {metric.replace('_', ' ')}, %")
    seeds = max(map(len, methods.values()))
    what = f"line: mean of {seeds} seeds, band: standard deviation" if seeds > 1 else "one seed"
    axes.set_title(f"{task}: target {metric.replace('_', ' ')} during training\n({what})", fontsize=10)
    plain(axes)
    return save(figure, path)


def label_ends(axes: Axes, ends: list[tuple[float, str]], palette: dict[str, str]) -> None:
    """Writes names beside the ends of lines, lowest first, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    apart = 0.05 * (high - low) * np.arange(len(ends))
    # the positions nearest to the ends with at least this distance between neighbours
    places = isotonic_regression(np.array([value for value, _ in ends]) - apart) + apart
    across = axes.get_yaxis_transform()
    for (value, name), place in zip(ends, places, strict=True):
        axes.plot([1.0, 1.03], [value, place], color=palette[name], lw=0.8, transform=across, clip_on=False)
        axes.text(1.04, place, name, color=palette[name], va="center", fontsize=9, transform=across)
    axes.set_ylim(low, high)


def pseudo_labels(task: str, methods: Runs, palette: dict[str, str], path: Path) -> Path | None:
    """Draws the fraction of pseudo labels that are kept and their accuracy over training steps, as means over seeds.
    Returns None without pseudo labels or target labels."""
    figure, axes = plt.subplots(figsize=(7, 4.2))
    shown: list[tuple[str, str]] = []
    for name, runs in methods.items():
        points = [point for run in runs for point in run["curve"] if point.get("pseudo_labels")]
        for key, style in (("accuracy", "-"), ("kept", ":")):
            values: dict[int, list[float]] = {}
            for point in points:
                if (value := point["pseudo_labels"][key]) is not None:
                    values.setdefault(point["step"], []).append(100 * value)
            means = [np.mean(values[step]) for step in sorted(values)]
            axes.plot(sorted(values), means, style, color=palette[name], lw=2, marker="o", ms=3)
            shown += [(name, key)] if means else []
    if not any(key == "accuracy" for _, key in shown):
        plt.close(figure)
        return None
    lines = [Line2D([], [], color=palette[name], lw=2) for name in dict(shown)]
    kinds = [Line2D([], [], color="black", ls=style) for style in ("-", ":")]
    names = [*dict(shown), "accuracy of kept labels", "fraction kept"]
    axes.legend([*lines, *kinds], names, frameon=False, fontsize=9)
    axes.set_ylim(0, 103)
    axes.set_xlabel("training step")
    axes.set_ylabel("pseudo labels of target batches, %")
    axes.set_title(f"{task}: pseudo labels since the previous scoring\n(mean over seeds)", fontsize=10)
    plain(axes)
    return save(figure, path)


def confusion(task: str, methods: Runs, path: Path) -> Path:
    """Draws confusion matrices over all seeds, one panel per method, in per cent of each true class."""
    classes = classes_of(methods)
    side = 1.8 + 0.42 * min(len(classes), MOST_NUMBERS)
    figure, all_axes = plt.subplots(1, len(methods), figsize=(side * len(methods), side), squeeze=False, sharey=True)
    for axes, (name, runs) in zip(all_axes[0], methods.items(), strict=True):
        matrix = np.sum([run["confusion"] for run in runs], axis=0)
        rates = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axes.imshow(rates, cmap="Reds", vmin=0, vmax=100)
        for row, column in np.ndindex(rates.shape):
            if len(classes) <= MOST_NUMBERS and rates[row, column] >= 0.5:
                colour = "white" if rates[row, column] > 55 else "black"
                axes.text(column, row, f"{rates[row, column]:.0f}", ha="center", va="center", fontsize=8, color=colour)
        turn = 45 if max(map(len, classes)) > 2 else 0
        shown = range(len(classes)) if len(classes) <= MOST_NUMBERS else range(0, len(classes), len(classes) // 10)
        names = [classes[place] for place in shown]
        axes.set_xticks(shown, names, rotation=turn, ha="right" if turn else "center")
        axes.set_yticks(shown, names)
        axes.set_xlabel("predicted")
        axes.set_title(name, fontsize=10)
    all_axes[0, 0].set_ylabel("true")
    figure.suptitle(f"{task}: confusion matrix, % of each true class", fontsize=10, y=1.03)
    figure.tight_layout()
    return save(figure, path)


def tsne(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the t-SNE embedding (N, 2) of source features followed by target features."""
    features = np.concatenate([arrays["source_features"], arrays["target_features"]]).astype(np.float32)
    # one thread: with several, t-SNE is very slow on a busy machine
    with threadpool_limits(1):
        places: np.ndarray = TSNE(init="pca", perplexity=min(30, len(features) // 4), random_state=0).fit_transform(
            features
        )
    return places


def embeddings(task: str, panels: list[Panel], classes: list[str], path: Path) -> Path:
    """Draws t-SNE of source and target features, one panel per method: colours are classes, rings and dots domains."""
    figure, all_axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 5.2), squeeze=False)
    palette = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20")
    for axes, (title, arrays) in zip(all_axes[0], panels, strict=True):
        source, target = np.split(arrays["places"], [len(arrays["source_features"])])
        of_source, of_target = (palette(arrays[f"{domain}_labels"] % palette.N) for domain in ("source", "target"))
        axes.scatter(*source.T, s=22, facecolors="none", edgecolors=of_source, lw=0.7, alpha=0.6)
        axes.scatter(*target.T, s=9, c=of_target, lw=0)
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
    ring = Line2D([], [], marker="o", ls="", markerfacecolor="none", color="black", markersize=7)
    dot = Line2D([], [], marker="o", ls="", color="black", markersize=4)
    shown = range(len(classes)) if len(classes) <= palette.N else []
    handles = [Line2D([], [], marker="o", ls="", color=palette(k)) for k in shown]
    names = [*(classes[k] for k in shown), "source", "target"]
    figure.legend([*handles, ring, dot], names, loc="lower center", ncols=min(len(names), 12), frameon=False)
    figure.suptitle(f"{task}: t-SNE of source and target features, coloured by true class", fontsize=11)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return save(figure, path)


def domains(task: str, panels: list[Panel], path: Path) -> Path:
    """Draws the same embedding as `embeddings`, coloured by domain; aligned domains overlap."""
    figure, all_axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 5.2), squeeze=False)
    for axes, (title, arrays) in zip(all_axes[0], panels, strict=True):
        parts = np.split(arrays["places"], [len(arrays["source_features"])])
        for places, (domain, colour) in zip(parts, DOMAINS.items(), strict=True):
            axes.scatter(*places.T, s=9, color=colour, lw=0, alpha=0.7, label=domain)
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
    handles, names = all_axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=2, frameon=False, markerscale=2)
    figure.suptitle(f"{task}: t-SNE of the same features, coloured by domain", fontsize=11)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return save(figure, path)


def pictures_of_task(task: str, methods: Runs, folder: Path) -> list[tuple[str, Path]]:
    """Draws the figures of a task with target labels into a folder; returns a caption and the path of each."""
    palette = colours(list(methods))
    drawn = [("Last-step score", bars(task, methods, palette, folder / f"{task}-bars.png"))]
    drawn.append(("Learning curves", learning_curves(task, methods, palette, folder / f"{task}-curves.png")))
    if path := pseudo_labels(task, methods, palette, folder / f"{task}-labels.png"):
        drawn.append(("Quality of the pseudo labels", path))
    ours = our_method(methods)
    shown = {name: methods[name] for name in (FLOOR, best_peer(methods), ours) if name in methods}
    if shown and all(run.get("confusion") for runs in shown.values() for run in runs):
        path = confusion(task, shown, folder / f"{task}-confusion.png")
        drawn.append((f"Confusion matrices of {', '.join(shown)}", path))
    if panels := placed_panels(methods):
        path = embeddings(task, panels, classes_of(methods), folder / f"{task}-embedding.png")
        drawn.append(("Features before and after adaptation", path))
        drawn.append(("The same features by domain", domains(task, panels, folder / f"{task}-domains.png")))
    return drawn


def best_peer(methods: Runs) -> str | None:
    """Returns the best method other than ours and the two reference methods."""
    peers = [name for name in methods if not name.startswith("dmsrl") and name not in (FLOOR, CEILING)]
    return max(peers, key=lambda name: headline(methods[name]), default=None)


def our_method(methods: Runs) -> str | None:
    """Returns the name of our method: the default recipe if it was run, else the published one."""
    return next((name for name in ("dmsrl", "dmsrl_published") if name in methods), None)


def classes_of(methods: Runs) -> list[str]:
    """Returns the names of a task's classes."""
    classes: list[str] = next(iter(methods.values()))[0]["classes"]
    return classes


def placed_panels(methods: Runs) -> list[Panel]:
    """Returns the stored features of source-only training ("before") and of our method ("after"), with their t-SNE
    embedding."""
    panels = []
    for name, moment in ((FLOOR, "before: "), (our_method(methods), "after: ")):
        if kept := [run for run in methods.get(name or "", []) if "features" in run]:
            with np.load(io.BytesIO(kept[0]["features"]), allow_pickle=False) as file:
                arrays = dict(file)
            title = f"{moment}{name}, {kept[0]['metric'].replace('_', ' ')} {headline(kept[:1]):.1f} %"
            panels += [(title, {**arrays, "places": tsne(arrays)})] if can_be_drawn(arrays) else []
    return panels


def can_be_drawn(arrays: dict[str, np.ndarray]) -> bool:
    """Whether t-SNE can embed the features: all are finite, and there are at least 12."""
    features = [arrays["source_features"], arrays["target_features"]]
    return all(np.isfinite(part).all() for part in features) and sum(map(len, features)) >= 12


def pictures(results: list[Result], folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """Draws the figures of all tasks with target labels; see `pictures_of_task`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        task: pictures_of_task(task, dict(methods), folder)
        for task, methods in by_task_and_method(results).items()
        if all(run[run["metric"]]["last"] is not None for runs in methods.values() for run in runs)
    }
