"""Checks of parts that are to be one recipe."""

from collections import Counter
from collections.abc import Sequence

from .. import keys
from .part import Part

Kind = str | type[Part]
RESERVED = (keys.G, keys.C, keys.TRAINING_PROGRESS)


def is_of(part: Part, kind: Kind) -> bool:
    """Returns whether a part is of a kind, given by name, or of a class."""
    return part.kind == kind if isinstance(kind, str) else isinstance(part, kind)


def listed(kind: Kind) -> str:
    """Returns a kind or class as an error names it."""
    return repr(kind) if isinstance(kind, str) else kind.__name__


def check_together(parts: Sequence[Part]) -> None:
    """Raises `ValueError` for parts that cannot be one recipe.

    These are a part without a kind, two parts of a kind or with the same key, a wrong order, and a part without one
    that it requires.
    """
    check_kinds_and_keys(parts)
    for place, part in enumerate(parts):
        name = type(part).__name__
        for kind in part.requires:
            if not any(is_of(other, kind) for other in parts):
                have = ", ".join(other.kind for other in parts)
                raise ValueError(f"{name} requires a part {listed(kind)}, the recipe has {have}")
        for later in parts[place + 1 :]:
            if any(is_of(later, kind) for kind in (*part.requires, *part.after)):
                raise ValueError(f"{type(later).__name__} must come before {name}, which reads what it writes")


def check_kinds_and_keys(parts: Sequence[Part]) -> None:
    """Raises `ValueError` for a part without a kind, and where two parts share a kind or a key."""
    for part in parts:
        if not part.kind or "." in part.kind:
            raise ValueError(f"{type(part).__name__} must have a kind, a name without dots, got {part.kind!r}")
    kinds = Counter(part.kind for part in parts)
    if twice := [type(part).__name__ for part in parts if kinds[part.kind] > 1]:
        raise ValueError(f"a recipe has one part of a kind, got {' and '.join(twice)}")
    owners = dict.fromkeys(RESERVED, "DMSRL")
    for part in parts:
        name = type(part).__name__
        for key in (*part.models(), *part.misc(), *part.loss_weights):
            if key in owners:
                raise ValueError(f"two parts must not have the same key, {owners[key]} and {name} have {key!r}")
            owners[key] = name
