"""Each condition fits what it names: facts and their types, blocks, policy values, tables; checked where it stands."""

from collections.abc import Iterator
from typing import Any

from rulebook import schema
from rulebook.compiler import Compiler
from rulebook.conditions import Compare, Condition, Policy, Use, walk
from rulebook.errors import LawError
from rulebook.parameters import Parameters
from rulebook.source import Finding, LawFile, LawFiles, Place


def fact_specs(files: LawFiles) -> dict[str, schema.FactSpec]:
    """The fact catalogue."""
    return {fact: spec for file in files.facts for fact, spec in file.content.facts.items()}


_MOST_BLOCKS = 8
"""One inside the other: whoever reads the law has to follow them, and so has the evaluator."""


class ConditionCheck:
    """What is wrong with a condition of one release, each finding on the line of its comparison."""

    def __init__(self, files: LawFiles) -> None:
        self._blocks = {name: block for file in files.blocks for name, block in file.content.blocks.items()}
        self._policy = files.policy.content.values
        tables = {name: table for file in files.parameters for name, table in file.content.tables.items()}
        policy = {name: value.value for name, value in self._policy.items()}
        self._compiler = Compiler(fact_specs(files), {}, policy, Parameters.of(tables, {}).tables)

    def __call__(self, file: LawFile[Any], place: Place, whole: Condition, where: str) -> Iterator[Finding]:
        for part, node in walk(whole):
            message = self._wrong(node)
            if message is not None:
                yield file.finding((*place, *part), f"{where}: {message}")

    def _wrong(self, node: Condition) -> str | None:
        match node:
            case Use(use=name):
                known = ", ".join(sorted(self._blocks))
                return None if name in self._blocks else f"there is no block {name}; write one of {known}"
            case Policy(policy=name, eq=wanted) if name in self._policy:
                choices = self._policy[name].choices
                fits = not choices or wanted in choices
                return None if fits else f"{name} is never {wanted}; write one of {', '.join(choices)}"
            case Policy() | Compare():
                try:
                    self._compiler.compile(node)
                except LawError as error:
                    return str(error)
        return None

    def comparisons(self, whole: Condition) -> Iterator[tuple[Place, Compare]]:
        """Every one, those of blocks included, with the way to it, or to where the block is used."""
        for part, node in walk(whole):
            match node:
                case Compare():
                    yield part, node
                case Use(use=name):
                    inside = (inner for block in self._used(name) for _, inner in walk(self._blocks[block]))
                    yield from ((part, inner) for inner in inside if isinstance(inner, Compare))

    def endless(self, name: str) -> str | None:
        """How a block uses itself, or others one inside the other without end; None if it does not."""
        ways: dict[str, tuple[str, ...]] = {name: (name,)}
        for _ in range(_MOST_BLOCKS):
            ways = {used: (*way, used) for block, way in ways.items() for used in self._uses(block)}
            if name in ways:
                return f"uses itself: {' -> '.join(ways[name])}; write one of them out"
        way = next((way for way in ways.values() if len(set(way)) == len(way)), None)
        if way is None:
            return None
        return f"is more than {_MOST_BLOCKS} blocks deep: {' -> '.join(way)}; write one of them out"

    def _used(self, name: str) -> list[str]:
        """A block and those that it uses."""
        found = [name] if name in self._blocks else []
        for block in found:
            found += [used for used in dict.fromkeys(self._uses(block)) if used not in found]
        return found

    def _uses(self, name: str) -> list[str]:
        found = (node.use for _, node in walk(self._blocks[name]) if isinstance(node, Use))
        return [used for used in found if used in self._blocks]
