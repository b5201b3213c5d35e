"""The methods, by name. A module here brings one or several in `METHODS`."""

from importlib import import_module
from pkgutil import iter_modules

from .method import Method, Setup, Trainable

__all__ = ["Method", "Setup", "Trainable", "get_method", "methods"]


def methods() -> dict[str, Method]:
    """Gives all methods by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {method.name: method for module in modules for method in getattr(module, "METHODS", ())}


def get_method(name: str) -> Method:
    """Gives the method of that name. Raises `ValueError` for an unknown one."""
    known = methods()
    if name not in known:
        raise ValueError(f"there is no method {name!r}; there are {', '.join(known)}")
    return known[name]
