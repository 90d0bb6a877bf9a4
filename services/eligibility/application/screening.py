"""Facts in, answers out, for somebody of whom nothing is kept: there is no store, no key and no outbox here."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from contracts.facts import Screening, SubjectFacts
from kernel.clock import Clock
from kernel.errors import FieldError, Invalid
from rulebook.loader import Law
from rulebook.person import fact_problems
from rulebook.programs import Determination, determine

CLOCK_SKEW = timedelta(minutes=5)
"""How far the caller's clock may run ahead of ours."""
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)

_IN_THE_FUTURE = "must not be in the future"


class Screener:
    """The use case of screening. Pure but for the clock."""

    def __init__(self, law: Law, clock: Clock, *, jurisdiction: str) -> None:
        """`jurisdiction` applies where a screening names none. Raises LawError if the law does not hold it."""
        law.applies_in(jurisdiction)
        self.law = law
        self._clock = clock
        self._jurisdiction = jurisdiction

    def screen(self, asked: Screening, salt: bytes) -> Determination:
        """All programs, as of now, with a digest of the facts. Raises Invalid naming what is wrong, and no value."""
        now = self._clock()
        facts = asked.facts()
        problems = tuple(self._problems(asked, facts, now))
        if problems:
            raise Invalid("Correct the members that `errors` names, then send again.", errors=problems)
        jurisdiction = asked.jurisdiction or self._jurisdiction
        # A clock that runs ahead must not make the encounter a thing of tomorrow.
        at = min(asked.encounter_at, now)
        return determine(facts, self.law, jurisdiction=jurisdiction, encounter_at=at, as_of=now, salt=salt)

    def _problems(self, asked: Screening, facts: SubjectFacts, now: datetime) -> Iterator[FieldError]:
        latest = now + CLOCK_SKEW
        if asked.jurisdiction is not None and asked.jurisdiction not in self.law.jurisdictions:
            known = ", ".join(sorted(self.law.jurisdictions))
            yield FieldError("/jurisdiction", f"write one that the law holds: {known}")
        if asked.encounter_at > latest:
            yield FieldError("/encounter_at", _IN_THE_FUTURE)
        if asked.encounter_at < EARLIEST:
            yield FieldError("/encounter_at", "must not be before 1900")
        if facts.age is not None and facts.age.birth_date is not None and facts.age.birth_date > latest.date():
            yield FieldError("/subject/age/birth_date", _IN_THE_FUTURE)
        if facts.circumstances is not None:
            conduct_on = facts.circumstances.custody.conduct_alleged_on
            if conduct_on is not None and conduct_on > latest.date():
                yield FieldError("/subject/circumstances/custody/conduct_alleged_on", _IN_THE_FUTURE)
            for number, screening in enumerate(facts.circumstances.screening):
                if screening.administered_at is not None and screening.administered_at > latest:
                    yield FieldError(f"/subject/circumstances/screening/{number}/administered_at", _IN_THE_FUTURE)
        for field, detail in fact_problems(facts, self.law):
            group, _, fact = field.partition(".facts.")
            yield FieldError(f"/subject/{group}/facts/{fact.replace('/', '~1')}", detail)
