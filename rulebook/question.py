"""The one question that is worth asking next, over all programs at once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rulebook.missing import Sets
from rulebook.schema import FactSpec

_WEIGHTS = {"low": 1, "personal": 2, "high": 4}
"""What asking costs the person, by the catalogue's sensitivity."""


@dataclass(frozen=True, slots=True)
class Question:
    """A fact to ask for, in the words of the catalogue, and how many programs its answer could settle alone."""

    fact: str
    text: str
    settles: int

    def to_json(self) -> dict[str, Any]:
        return {"fact": self.fact, "question": self.text, "could_settle": self.settles}


def next_question(
    open_sets: Iterable[Sets], catalogue: Mapping[str, FactSpec], not_answered: Mapping[str, str]
) -> Question | None:
    """The fact that could settle most programs for what it costs to be asked; None if nothing may be asked.

    `open_sets` holds for each open program the minimal sets that could settle it. What was refused is never asked
    again; what the person did not know, only after everything else; immigration status only when no other fact is
    left to ask for, so never first.
    """
    every = [one for sets in open_sets for one in sets]
    alone = Counter([one[0] for one in every if len(one) == 1])
    together = Counter([fact for one in every if len(one) > 1 for fact in one])
    asked = [fact for fact in alone.keys() | together.keys() if not_answered.get(fact) != "refused"]

    def rank(fact: str) -> tuple[bool, bool, float, float, str]:
        spec = catalogue[fact]
        weight = _WEIGHTS[spec.sensitivity]
        return spec.group == "status", fact in not_answered, -alone[fact] / weight, -together[fact] / weight, fact

    best = min(asked, key=rank, default=None)
    return None if best is None else Question(best, catalogue[best].question, alone[best])
