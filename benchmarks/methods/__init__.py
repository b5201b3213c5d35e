"""The methods, by name. A module here defines one or several in `METHODS`.

A name may be followed by changed settings, as in `mcc[weight=1.0,temperature=2.0]`.
"""

import json
import re
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from . import dmsrl
from .method import Method, Setup, Trainable

__all__ = ["Method", "Setup", "Trainable", "get_method", "methods", "split_names"]


def methods() -> dict[str, Method]:
    """Returns all methods by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {method.name: method for module in modules for method in getattr(module, "METHODS", ())}


def get_method(name: str) -> Method:
    """Returns the method of a name.

    The name is one of `methods()`. For a method with a recipe it may be followed by a part to add
    (`dmsrl+package.module.Part`) and a part to remove (`dmsrl-margin`). Changed settings are in brackets
    (`mcc[weight=1.0]`).

    Raises `ValueError` for an unknown method, part or setting, or a value of the wrong type.
    """
    base, _, changes = name.removesuffix("]").partition("[")
    method = methods().get(base) or derived(base)
    for change in changes.split(",") if changes else ():
        method = replace(method, settings=method.change(method.settings, *parse_setting(method, change)))
    return replace(method, name=name)


def derived(name: str) -> Method:
    """Returns a method by the name of another, of parts that come in and of parts that go."""
    known = methods()
    base = max((one for one in known if name.startswith(one)), key=len, default="")
    changes = re.findall(r"([+-])([\w.]+)", name.removeprefix(base))
    if not base or "".join(map("".join, changes)) != name.removeprefix(base):
        raise ValueError(f"there is no method {name!r}; there are {', '.join(known)}")
    method = known[base]
    for sign, part in changes:
        method = (dmsrl.with_part if sign == "+" else dmsrl.without)(method, part)
    return method


def parse_setting(method: Method, change: str) -> tuple[str, Any]:
    """Returns key and value of a text such as `weight=1.0`; the value is JSON, or a name without quotes."""
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
    """Returns the names in a text, separated by commas outside brackets."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", names)]
