"""Screening protocols: who may ask, with which instrument, and what an outcome may mean.

Instruments are copyrighted: identifiers, domains and scoring are held, never the text of a question. A screen can raise
how firmly somebody is regarded as a victim; it never lowers it and never cancels a duty (RSMo 566.223.3, permissive).
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise
from typing import Literal, get_args

from pydantic import Field, model_validator

from contracts.facts import ScreeningResult
from rulebook.conditions import Node
from rulebook.schema import Cited, Id, Line, Period

Administrator = Literal["trained_officer", "advocate", "clinician", "child_welfare_worker"]
Outcome = Literal["negative", "possible", "clear", "stopped"]
Implied = Literal["unchanged", "suspected", "presumed"]
_STATUSES: tuple[Implied, ...] = get_args(Implied)
"""From least to most."""
_MEANING: Mapping[Outcome, str] = {
    "negative": "nothing was found",
    "possible": "a possible concern",
    "clear": "a clear concern",
    "stopped": "not finished",
}
"""`clear` is no all-clear: who found nothing reports `negative`, which every instrument has."""


class Population(Node):
    min_age: int | None = Field(default=None, ge=0)
    max_age: int | None = Field(default=None, ge=0)
    setting: Line


class Indicator(Node):
    """A domain that the instrument looks at; our own words, not its questions."""

    code: Id
    label: Line


class Band(Node):
    outcome: Literal["negative", "possible", "clear"]
    at_least: int = Field(ge=0)


class Scoring(Node):
    method: Literal["any_yes", "count", "weighted", "judgement"]
    bands: tuple[Band, ...] = Field(default=(), strict=False)
    """From the lowest score up; the first begins at 0. None where a person judges, or the bands were not seen."""

    @model_validator(mode="after")
    def _ascending(self) -> "Scoring":
        if self.bands and self.bands[0].at_least != 0:
            raise ValueError("the first band begins at 0")
        if any(later.at_least <= earlier.at_least for earlier, later in pairwise(self.bands)):
            raise ValueError("bands are written from the lowest score up")
        return self

    def outcome(self, score: int) -> str | None:
        """The band of a score; None where there are none. Raises ValueError for a score below 0."""
        if score < 0:
            raise ValueError("a score is 0 or more")
        return next((band.outcome for band in reversed(self.bands) if score >= band.at_least), None)


class Protocol(Node):
    id: Id
    version: Line
    instrument: Line
    publisher: Line
    instrument_version: Line
    population: Population
    trafficking_types: tuple[Literal["sex", "labor"], ...] = Field(strict=False, min_length=1)
    languages: tuple[Line, ...] = Field(default=(), strict=False)
    """ISO 639-3; none where it was not found."""
    administrators: tuple[Administrator, ...] = Field(strict=False, min_length=1)
    training_required: Id | None = None
    """A course of law/training/."""
    indicators: tuple[Indicator, ...] = Field(strict=False)
    scoring: Scoring
    outcome_map: dict[Outcome, Implied]
    """The least victim status that an outcome stands for; nothing makes anybody confirmed."""
    licence: Line
    effective: Period
    approved_by: Line
    cite: Cited
    verified: bool
    note: Line | None = None

    @model_validator(mode="after")
    def _never_lowers(self) -> "Protocol":
        if any(self.outcome_map.get(outcome) != "unchanged" for outcome in ("negative", "stopped")):
            raise ValueError("negative and stopped leave the status unchanged: a screen never cancels anything")
        if {"possible", "clear"} - set(self.outcome_map):
            raise ValueError("outcome_map says what possible and clear stand for")
        if not self.verified and self.note is None:
            raise ValueError("what is not verified says so in a note: what was seen, and what is to be checked")
        return self

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """That a result may have: those of its bands, where it has any; that nothing was found, or that it was stopped,
        always."""
        bands = {band.outcome for band in self.scoring.bands}
        return tuple(one for one in self.outcome_map if not bands or one in bands or one in ("negative", "stopped"))


class ScreeningFile(Node):
    protocols: tuple[Protocol, ...] = Field(strict=False)


Protocols = Mapping[tuple[str, str], Protocol]
"""By id and version."""


def screening_problems(result: ScreeningResult, protocols: Protocols, on: date) -> list[tuple[str, str]]:
    """What a result cites that is not held, was not in force on its day (or `on`, the encounter's), or has no such
    outcome: the member, and what to write instead."""
    protocol = protocols.get((result.protocol_id, result.protocol_version))
    if protocol is None:
        versions = sorted(version for name, version in protocols if name == result.protocol_id)
        if versions:
            return [("protocol_version", f"write {' or '.join(versions)}")]
        return [("protocol_id", f"write one of {', '.join(sorted({name for name, _ in protocols}))}")]
    problems = []
    if not protocol.effective.holds(result.administered_at.date() if result.administered_at else on):
        problems.append(("protocol_version", "was not in force on that day; name the version that was"))
    if result.outcome not in protocol.outcomes:
        told = (f"{outcome} ({_MEANING[outcome]})" for outcome in protocol.outcomes)
        problems.append(("outcome", f"write one of {', '.join(told)}"))
    return problems


def screened_status(results: Iterable[tuple[str, str, str]], protocols: Protocols) -> Implied:
    """The least victim status that results stand for together: each a protocol, its version and the outcome.

    A result of a protocol that the law does not hold stands for nothing.
    """
    implied: Iterator[Implied] = (
        protocol.outcome_map.get(outcome, "unchanged")  # type: ignore[call-overload]
        for name, version, outcome in results
        if (protocol := protocols.get((name, version))) is not None
    )
    return max(implied, key=_STATUSES.index, default="unchanged")
