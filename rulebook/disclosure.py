"""What a recipient is told: exactly the fields that its policy names, and nothing without a policy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from contracts.facts import SubjectFacts
from rulebook import schema
from rulebook.errors import LawError

if TYPE_CHECKING:
    from rulebook.loader import Law

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DisclosurePolicy:
    """The compiled policy of one role."""

    role: str
    purpose: str
    redisclosure: str
    citations: tuple[str, ...]
    paths: tuple[Path, ...]
    flags: frozenset[str]

    @classmethod
    def of(cls, spec: schema.DisclosurePolicy) -> "DisclosurePolicy":
        return cls(
            role=spec.role,
            purpose=spec.purpose,
            redisclosure=spec.redisclosure,
            citations=spec.cite,
            paths=tuple(parse_path(field) for field in spec.fields),
            flags=frozenset(spec.flags),
        )


@dataclass(frozen=True, slots=True)
class Withhold:
    """Fields that no policy can name while a reported field is true."""

    when_true: Path
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, spec: schema.Withhold) -> "Withhold":
        return cls(parse_path(spec.when_true), tuple(parse_path(field) for field in spec.fields))


def parse_path(dotted: str) -> Path:
    """The steps of a dotted path of SubjectFacts; a last `*` means all fields there. Raises LawError if none such."""
    steps = tuple(dotted.split("."))
    model: Any = SubjectFacts
    for position, step in enumerate(steps):
        if step == "*" and position == len(steps) - 1 and position > 0:
            return steps[:-1]
        if model is dict and step and position == len(steps) - 1:
            return steps
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if step not in fields:
            raise LawError(f"field {dotted}: there is no {step}; write a path of contracts.facts.SubjectFacts")
        model = _inner(fields[step].annotation)
    if isinstance(model, type) and issubclass(model, BaseModel):
        raise LawError(f"field {dotted} is a group; name its fields, or write {dotted}.* for all of them")
    return steps


def _inner(annotation: Any) -> Any:
    """The model or the open map behind an optional or annotated type; None for plain values and lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if getattr(annotation, "__origin__", None) is dict:
        return dict
    if getattr(annotation, "__origin__", None) is tuple:
        return None
    inner = (_inner(argument) for argument in get_args(annotation))
    return next((found for found in inner if found is not None), None)


def disclose(facts: SubjectFacts, policy_id: str, law: "Law", flags: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON members of a notice about its subject: the fields of SubjectFacts that the policy names and that are
    known, nested as there, and under `flags` those of the decision's flags that it may tell.

    An unknown policy discloses nothing. Source: RSMo 210.150, 211.321, 589.660 ff.
    """
    policy = law.disclosure.get(policy_id)
    if policy is None:
        return {}
    known = facts.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for rule in law.withhold:
        if _get(known, rule.when_true) is True:
            for path in rule.paths:
                _drop(known, path)
    told: dict[str, Any] = {}
    for path in policy.paths:
        value = _get(known, path)
        if value is not None:
            _put(told, path, value)
    allowed = sorted(policy.flags.intersection(flags))
    return told | {"flags": allowed} if allowed else told


def _get(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def _put(tree: dict[str, Any], path: Path, value: Any) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = value


def _drop(tree: Any, path: Path) -> None:
    for step in path[:-1]:
        tree = tree.get(step) if isinstance(tree, dict) else None
    if isinstance(tree, dict):
        tree.pop(path[-1], None)
