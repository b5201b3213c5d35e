"""The methods, by name. A module here brings one or several in `METHODS`.

A name may be followed by settings that differ, as in `mcc[weight=1.0,temperature=2.0]`.
"""

import json
import re
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from .method import Method, Setup, Trainable

__all__ = ["Method", "Setup", "Trainable", "get_method", "methods", "split_names"]


def methods() -> dict[str, Method]:
    """Gives all methods by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {method.name: method for module in modules for method in getattr(module, "METHODS", ())}


def get_method(name: str) -> Method:
    """Gives the method of that name, with the settings in brackets behind it changed.

    Raises `ValueError` for an unknown method or setting, or a value of another type.
    """
    base, _, changes = name.removesuffix("]").partition("[")
    known = methods()
    if base not in known:
        raise ValueError(f"there is no method {base!r}; there are {', '.join(known)}")
    changed = dict(parse_setting(known[base], change) for change in changes.split(",") if changes)
    return replace(known[base], name=name, settings={**known[base].settings, **changed})


def parse_setting(method: Method, change: str) -> tuple[str, Any]:
    """Gives key and value of a text such as `weight=1.0`; values are written as in JSON, names without quotes."""
    key, _, text = change.partition("=")
    if key not in method.settings:
        raise ValueError(f"{method.name} has no setting {key!r}; it has {', '.join(method.settings) or 'none'}")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    old = method.settings[key]
    if None not in (value, old) and type(value) is not type(old) and {type(value), type(old)} != {int, float}:
        raise ValueError(f"{key} of {method.name} must be like {old!r}, got {text!r}")
    return key, value


def split_names(names: str) -> list[str]:
    """Gives the names in a text with commas between them; those in brackets belong to a name."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", names)]
