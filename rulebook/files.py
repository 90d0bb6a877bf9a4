"""Reads law files so that an error can name the file, the line and the path in it.

Errors call a file by the name that is given: in a release, the way to it from the top of the release.
"""

import copy
from collections.abc import Hashable
from functools import lru_cache
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

_MOST_NESTED = 40
"""Levels of lists and mappings; no law needs more, and neither the parser nor what follows has another limit than the
process's stack."""
_MOST_ITEMS = 200_000
"""With what aliases repeat."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader, but what it would pass on as another error, or keep silent about, is one with a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            is_date = node.tag.endswith(":timestamp")
            problem = (
                "there is no such day: write one as YYYY-MM-DD" if is_date else "write a number, or quote the text"
            )
            raise _refused(problem, node) from None


def _refused(problem: str, at: yaml.Node | yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = at.start_mark
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=mark)


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Hashable, Any]:
    """A key written twice is an error: YAML would silently keep the last."""
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _refused("a key is a list or a mapping: write a name", key)
        if key.value in seen:
            raise _refused(f"key {key.value} is written twice", key)
        seen.add(key.value)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class _Composer(yaml.SafeLoader):
    """Nodes with their lines; an alias has its own, and not that of what it stands for."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent) and node is not None:
            node = copy.copy(node)
            node.start_mark = event.start_mark
        return node


@lru_cache(maxsize=4)
def _composed(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=_Composer)


def read_bytes(path: Path, name: str) -> bytes:
    """Raises LawError if the file is absent, or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise LawError(f"{name}, line 1: is missing from the law release; restore {name}") from None
    except OSError as error:
        raise LawError(f"{name}, line 1: cannot be read ({error.strerror}); restore {name}") from None


def read_text(path: Path, name: str) -> str:
    """Raises LawError if the file is absent, cannot be read, or is not text."""
    content = read_bytes(path, name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise LawError(f"{name}, line {line}: is not UTF-8; save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_yaml(path: Path, name: str) -> Any:
    """Raises LawError, naming the line, if the file is absent, is not YAML, or nests without end."""
    return parse_yaml(read_text(path, name), name)


def parse_yaml(text: str, name: str) -> Any:
    """Raises LawError, naming the line, if the text is not YAML, or nests without end."""
    try:
        _demand_bounds(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise LawError(f"{name}, line {line}: {error.problem}; correct the YAML") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise LawError(f"{name}, line {line}: a character that YAML has not; remove it") from None


def _demand_bounds(text: str) -> None:
    """Levels and items, with what aliases repeat, counted before anything is built of them."""
    anchors: dict[str, tuple[int, int]] = {}
    open_: list[tuple[str | None, int, int]] = []
    """Of each list or mapping that is not closed yet: its anchor, the items in it, and the levels below it."""
    for event in yaml.parse(text, Loader=_Loader):
        items, levels = 1, 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 1, 0))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, items, levels = open_.pop()
            levels += 1
            if anchor is not None:
                anchors[anchor] = items, levels
        elif isinstance(event, yaml.AliasEvent):
            items, levels = anchors.get(event.anchor or "", (1, 0))
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if len(open_) + levels > _MOST_NESTED or items > _MOST_ITEMS:
            raise _refused(
                f"more than {_MOST_NESTED} levels or {_MOST_ITEMS} items: write blocks, or more files", event
            )
        if open_ and not isinstance(event, yaml.CollectionStartEvent):
            anchor, before, below = open_[-1]
            open_[-1] = anchor, before + items, max(below, levels)


def validate(model: type[Model], content: Any, path: Path, name: str) -> Model:
    """Raises LawError naming the first few things that do not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        document = _composed(read_text(path, name))
        found = error.errors(include_url=False, include_context=False)
        problems = []
        for item in found:
            place = item["loc"]
            if any(other["loc"][: len(place)] == place for other in found if other is not item):
                continue  # a list is too short only because its items did not fit
            line, shown = _locate(document, place)
            what = _HINTS.get(item["type"], item["msg"].removeprefix("Value error, "))
            problems.append(f"{name}, line {line}, at {shown}: {what}")
        raise LawError("\n".join(problems[:_SHOWN])) from None


def line_of(path: Path, place: tuple[int | str, ...]) -> int:
    """The line on which a part of a YAML file begins, or the nearest part around it that is there."""
    return max(1, _locate(_composed(read_text(path, path.name)), place)[0])


def _locate(node: Any, location: tuple[int | str, ...]) -> tuple[int, str]:
    """The line of the deepest node on the way, and the way without the steps that pydantic adds for unions."""
    line, way = 1, []
    for position, step in enumerate(location):
        entries: dict[Any, tuple[Any, Any]] = {}
        if isinstance(node, yaml.MappingNode):
            entries = {key.value: (key, value) for key, value in node.value}
        elif isinstance(node, yaml.SequenceNode):
            entries = {number: (value, value) for number, value in enumerate(node.value)}
        is_last = position == len(location) - 1
        if not is_last and location[position + 1] in entries and isinstance(node, yaml.MappingNode):
            continue  # names the kind of condition; the next step is its member
        if step in entries:
            begins, node = entries[step]
            line = begins.start_mark.line + 1
        elif not is_last:
            continue
        way.append(str(step))
    return line, ".".join(way) or "the top"
