"""Reads law files so that an error can name the file, the line and the path in it."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rulebook.errors import LawError

Model = TypeVar("Model", bound=BaseModel)
_SHOWN = 5
_HINTS = {
    "extra_forbidden": "is not a key here; remove it or correct its name",
    "missing": "is missing; add it",
}

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader, but a key written twice is an error: YAML would silently keep the last."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            problem = f"key {key.value} is written twice"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Raises LawError if the file is absent or is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise LawError(f"{path.name} is missing from the law release; restore {path.name}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise LawError(f"{path.name}, line {line}: {error.problem}; correct the YAML") from None


def validate(model: type[Model], content: Any, path: Path) -> Model:
    """Raises LawError naming the first few things that do not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        document = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
        found = error.errors(include_url=False, include_context=False)
        problems = []
        for item in found:
            place = item["loc"]
            if any(other["loc"][: len(place)] == place for other in found if other is not item):
                continue  # a list is too short only because its items did not fit
            line, shown = _locate(document, place)
            what = _HINTS.get(item["type"], item["msg"].removeprefix("Value error, "))
            problems.append(f"{path.name}, line {line}, at {shown}: {what}")
        raise LawError("\n".join(problems[:_SHOWN])) from None


def line_of(path: Path, place: tuple[int | str, ...]) -> int:
    """The line on which a part of a YAML file begins, or the nearest part around it that is there."""
    document = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    return max(1, _locate(document, place)[0])


def _locate(node: Any, location: tuple[int | str, ...]) -> tuple[int, str]:
    """The line of the deepest node on the way, and the way without the steps that pydantic adds for unions."""
    line, way = 1, []
    for position, step in enumerate(location):
        entries: dict[Any, Any] = {}
        if isinstance(node, yaml.MappingNode):
            entries = {key.value: value for key, value in node.value}
        elif isinstance(node, yaml.SequenceNode):
            entries = dict(enumerate(node.value))
        is_last = position == len(location) - 1
        if not is_last and location[position + 1] in entries and isinstance(node, yaml.MappingNode):
            continue  # names the kind of condition; the next step is its member
        if step in entries:
            node = entries[step]
            line = node.start_mark.line + 1
        elif not is_last:
            continue
        way.append(str(step))
    return line, ".".join(way) or "the top"
