"""Settings as the table of runs holds them."""

import json
from collections.abc import Mapping
from typing import Any


def packed(named: Mapping[str, Any]) -> str:
    """Returns settings as in a method's brackets, `key=value key=value`: JSON, simple words without quotes."""
    return " ".join(f"{key}={as_word(named[key])}" for key in sorted(named))


def as_word(value: Any) -> str:
    """Returns a value as JSON without blanks, a string that is no JSON itself as it is."""
    if isinstance(value, str) and not set(value) & set(' "\n\t') and not is_json(value):
        return value
    return json.dumps(value, separators=(",", ":")).replace(" ", "\\u0020")


def is_json(text: str) -> bool:
    """Whether a text is JSON by itself, as `null` and `1` are."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def unpacked(text: str) -> dict[str, Any]:
    """Returns the settings that `packed` wrote."""
    parts = (part.partition("=") for part in text.split())
    return {key: json.loads(value) if is_json(value) else value for key, _, value in parts}
