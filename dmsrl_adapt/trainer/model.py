"""A trained classifier with all that it needs for new data, and its file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import DataError, Samples, open_data
from ..training.checkpoints import read_archive, write
from .confidence import VIEWS, Confidence, Seen, view_of
from .inputs import readable
from .networks import MODULE, RANDOM, SIGNALS, VECTORS, Network, by_name, of_module, of_rows
from .predictions import Predictions
from .preprocessing import Preprocessing

FORMAT = "dmsrl_adapt model, form 2"
AT_A_TIME = 32


class Classifier(nn.Module):
    """The networks of a model in one: inputs of shape (N, *shape), scaled as `Preprocessing.normalise` does.

    Args:
        network: the feature extractor.
        C: from features to logits.
    """

    def __init__(self, network: Network, C: nn.Module) -> None:
        super().__init__()
        self.before = nn.Identity() if network.before is None else network.before
        self.G, self.C = network.G, C

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features, shape (N, D), and logits, shape (N, K)."""
        features = self.G(self.before(inputs))
        return features, self.C(features)


@dataclass
class Model:
    """A trained classifier. `Model.load` reads it from a file, `predict` labels data.

    network: the feature extractor with its preprocessing.
    C: from features to logits.
    classes: names, in the order of the logits.
    confidence: turns outputs into probabilities that count.
    facts: plain values on how it was trained.
    examples: some prepared inputs of the target, for checks.
    """

    network: Network = field(repr=False)
    C: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    confidence: Confidence = field(default_factory=Confidence, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    examples: Tensor = field(default_factory=lambda: torch.zeros(0), repr=False)

    def __post_init__(self) -> None:
        self.classifier = Classifier(self.network, self.C)

    @property
    def inputs(self) -> Preprocessing:
        """How the network takes samples."""
        return self.network.inputs

    @property
    def device(self) -> torch.device:
        """The device of its parameters."""
        return next(self.classifier.parameters()).device

    def to(self, device: torch.device | str) -> "Model":
        """Moves the networks to a device; returns the model."""
        self.classifier.to(device)
        return self

    @torch.no_grad()
    def outputs(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (N, D) and logits (N, K), float32, of inputs as `Preprocessing.prepare` returns them."""
        self.classifier.eval()
        features, logits = self.classifier(self.inputs.normalise(prepared.to(self.device)))
        return features.float().cpu(), logits.float().cpu()

    @torch.no_grad()
    def seen(self, prepared: Tensor, has_views: bool = True) -> Seen:
        """Returns outputs for inputs as `Preprocessing.prepare` returns them, and for augmented views of images.

        Args:
            prepared: shape (N, *shape).
            has_views: whether to compute views, each of which is one more pass; only where training augmented.
        """
        features, logits = self.outputs(prepared)
        if not (has_views and self.is_augmented):
            return Seen(features, logits)
        inputs = self.inputs.normalise(prepared.to(self.device))
        views = [self.classifier(view_of(inputs, number))[1].float().cpu() for number in range(VIEWS)]
        return Seen(features, logits, torch.stack(views))

    @property
    def is_augmented(self) -> bool:
        """Whether its inputs may be augmented as photographs."""
        return dict(self.facts.get("settings", {})).get("augment") == "photo"

    def calibrate(self, prepared: Tensor) -> None:
        """Sets the confidence by inputs of the target, without labels."""
        self.confidence = Confidence.fit(Seen.joined([self.seen(part) for part in prepared.split(AT_A_TIME)]))

    def predict(
        self,
        data: Any,
        out: str | Path | None = None,
        batch_size: int = 64,
        workers: int = 0,
        has_views: bool = True,
        **how: Any,
    ) -> Predictions:
        """Labels data, and writes a table and, of images, a contact sheet if `out` is given.

        Args:
            data: a folder, file, array or data set, as `open_data` takes it; labels are not looked at.
            out: path of the table, `.csv` or `.parquet`, or None. The sheet is the `.png` beside it.
            batch_size: inputs at a time.
            workers: processes that read images.
            has_views: whether augmented views, four more passes, count for the confidence of images.
            **how: other arguments of `open_data`.

        Raises:
            DataError: missing data, data of another kind or shape, or an `out` that is one of the files.
        """
        samples = self.open(data, **how)
        found = Predictions(samples, self.classes)
        if out is not None:
            found.check_out(Path(out), data)
        for places, prepared in readable(samples, self.inputs, batch_size, workers):
            seen = self.seen(prepared, has_views)
            found.add(places, seen.logits.argmax(1), self.confidence(seen))
        if out is not None:
            found.write(Path(out))
        return found

    def open(self, data: Any, **how: Any) -> Samples:
        """Returns data without its labels. Raises `DataError` if it is of another kind than the model takes."""
        given = {"kind": None if isinstance(data, (str, Path)) else self.inputs.kind, "size": self.inputs.decoded}
        samples = data if isinstance(data, Samples) else open_data(data, False, **{**given, **how})
        if samples.kind != self.inputs.kind:
            raise DataError(f"{samples.origin} must hold the kind {self.inputs.kind!r}, got {samples.kind!r}")
        return samples

    def save(self, path: str | Path) -> Path:
        """Writes the model atomically, for `torch.load(weights_only=True)`; returns the path.

        Raises:
            OSError: the file cannot be written; an older one stays.
        """
        content = {
            "format": FORMAT,
            "classes": list(self.classes),
            "preprocessing": self.inputs.as_dict(),
            "network": self.network.name,
            "confidence": self.confidence.state_dict(),
            "models": {"G": self.network.G.state_dict(), "C": self.C.state_dict()},
            "examples": self.examples,
            **self.facts,
        }
        write(content, Path(path))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, module: nn.Module | None = None) -> "Model":
        """Returns the model of a file, without running code in it.

        Args:
            path: of the file.
            module: a new feature extractor, for a model that was trained with a module of the user's.

        Raises:
            ValueError: the file is damaged or no model file, or does not fit the networks of this code.
        """
        content = read_archive(Path(path), "model file")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"{path} must be a model file ({FORMAT}), got another file")
        try:
            classes = tuple(content["classes"])
            network = network_of(content, module)
            C = nn.Linear(network.feature_dim, len(classes))
            network.G.load_state_dict(content["models"]["G"])
            C.load_state_dict(content["models"]["C"])
            facts = {key: value for key, value in content.items() if key not in OWN}
            confidence = Confidence.from_state(content["confidence"])
            return cls(network, C, classes, confidence, facts, content["examples"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            made_by = content.get("versions")
            raise ValueError(f"{path} does not fit this code, it was made by {made_by}: {error}") from error


OWN = ("format", "classes", "preprocessing", "network", "confidence", "models", "examples")


def network_of(content: Mapping[str, Any], module: nn.Module | None) -> Network:
    """Returns the feature extractor that a file describes, without its weights."""
    inputs, name = Preprocessing.from_dict(content["preprocessing"]), content["network"]
    if name == MODULE:
        if module is None:
            raise ValueError("it was trained with a module of yours; give a new one: Model.load(path, module=...)")
        return of_module(module, inputs)
    if name in (VECTORS, SIGNALS):
        return of_rows(inputs.shape)
    network = by_name(name, (inputs.shape[1], inputs.shape[2]), RANDOM)
    network.inputs = inputs
    return network
