"""What strikes, when and where: a function of the seed, so that a campaign that found something can be run again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.faults.campaign.ground import Ground


@dataclass(frozen=True)
class Scope:
    """What there is to strike. Two campaigns with the same scope and seed have the same schedule."""

    kafka: bool
    processes: tuple[str, ...]
    """Of services, as they run from the start."""
    recipients: tuple[str, ...]
    services: tuple[str, ...]
    tables: tuple[str, ...]
    """With their schemas; those that the services own come first in `owned`."""
    owned: tuple[str, ...]
    longest: float
    """Of pauses and of a network that swallows, in seconds."""

    def seconds(self, random: Random) -> float:
        return round(random.uniform(1.0, self.longest), 1)


class Fault(Protocol):
    """One fault with everything about it settled; its `repr` is its line in the log."""

    async def inject(self, ground: "Ground") -> None:
        """Strikes, waits for as long as it lasts, and takes back what can be taken back."""


Draw = Callable[[Random, Scope], Fault]


@dataclass(frozen=True)
class Planned:
    """After `gap` seconds, this fault."""

    gap: float
    kind: str
    fault: Fault


def schedule(random: Random, scope: Scope, kinds: Mapping[str, Draw], gaps: tuple[float, float]) -> Iterator[Planned]:
    """Without end. Every kind strikes once before any strikes again, so that a short campaign has met them all."""
    deck: Sequence[str]
    while True:
        deck = sorted(kinds)
        random.shuffle(deck)
        for kind in deck:
            yield Planned(round(random.uniform(*gaps), 2), kind, kinds[kind](random, scope))
