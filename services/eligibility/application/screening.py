"""Facts in, answers out, for somebody of whom nothing is kept: there is no store, no key and no outbox here."""

from collections.abc import Iterator
from datetime import datetime

from contracts.facts import Screening, SubjectFacts
from kernel.clock import Clock
from kernel.errors import FieldError, Invalid
from rulebook.loader import Law
from rulebook.problems import moment_problems, subject_problems
from rulebook.programs import Determination, determine


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
        if asked.jurisdiction is not None and asked.jurisdiction not in self.law.jurisdictions:
            known = ", ".join(sorted(self.law.jurisdictions))
            yield FieldError("/jurisdiction", f"write one that the law holds: {known}")
        for place, detail in moment_problems("/encounter_at", asked.encounter_at, now):
            yield FieldError(place, detail)
        for place, detail in subject_problems(facts, self.law, encounter_at=asked.encounter_at, now=now):
            yield FieldError("/subject" + place, detail)
