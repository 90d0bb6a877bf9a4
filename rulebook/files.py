"""Reads law files so that an error can name the file, the line and the path in it."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rulebook.errors import LawError

Model = TypeVar("Model", bound=BaseModel)

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
        problems = []
        for item in error.errors(include_url=False, include_context=False)[:5]:
            line, shown = _locate(document, item["loc"])
            problems.append(f"{path.name}, line {line}, at {shown}: {item['msg'].removeprefix('Value error, ')}")
        raise LawError("\n".join(problems)) from None


def _locate(node: Any, location: tuple[int | str, ...]) -> tuple[int, str]:
    """The line of the deepest node on the way, and the way. Steps that pydantic adds for unions are passed over."""
    line, way = 1, []
    for step in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            entries = [(key, value) for key, value in node.value if key.value == str(step)]
            if not entries:
                if step == location[-1]:
                    way.append(str(step))
                continue
            node = entries[0][1]
        else:
            continue
        line = node.start_mark.line + 1
        way.append(str(step))
    return line, ".".join(way) or "the top"
