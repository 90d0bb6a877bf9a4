"""JSON merge patch (RFC 7396): what an amendment says is laid over what is stored; null takes away."""

from typing import Any

DEEPEST = 8
"""Levels of nesting that a patch may have; the facts themselves have five."""


def merge_patch(target: Any, patch: Any) -> Any:
    """A new value; neither argument is changed. Not for patches that are `too_deep`."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def too_deep(value: Any) -> bool:
    """Whether a JSON value is nested more than `DEEPEST` levels; does not recurse itself."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for one in level if isinstance(one, dict | list | tuple) for child in _children(one)]
    return bool(level)


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)
