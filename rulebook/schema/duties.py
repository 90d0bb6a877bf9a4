"""Duties: who owes what to whom, by when, how, and by which rules it is decided."""

from typing import Literal

from pydantic import Field, model_validator

from contracts.events import ClockKind, Outcome, PriorityClass
from rulebook.conditions import Condition, Node
from rulebook.schema.parts import Cited, FactId, Id, Line, Lines, Period, follow_on

Owner = Literal[
    "agency_watch_commander", "reporting_officer", "child_welfare_agency", "juvenile_officer", "federal_agency", "state"
]
"""Who may have to act on a duty, beside the roles of `law/directory/`."""


class Flag(Node):
    flag: Id
    when: Condition | None = None


class DutyRule(Node):
    """First rule whose condition is certainly true wins; the last one has no condition."""

    when: Condition | None = None
    outcome: Outcome
    basis: Cited
    flags: tuple[Flag, ...] = Field(default=(), strict=False)
    decided_by: Literal["rule", "timer"] = "rule"
    review_after: FactId | None = None
    """Policy duration after which a review that nobody settled is decided again, as expired."""


class DutyVersion(Node):
    effective: Period
    cite: Cited
    rules: tuple[DutyRule, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _total(self) -> "DutyVersion":
        *earlier, last = self.rules
        if last.when is not None or any(rule.when is None for rule in earlier):
            raise ValueError("the last rule, and only that one, has no `when`: every person gets a decision")
        if last.outcome == "not_due" and earlier:
            raise ValueError("the last rule must not be not_due: what is unknown is not a no; write due or review")
        return self


class Clock(Node):
    """`limit` counts hours or days from where the clock starts; `target` names a policy duration and is never
    presented as law."""

    kind: ClockKind
    limit: int | None = Field(default=None, ge=1, le=1000)
    starts: Literal["discovery", "custody"] = "discovery"
    """Custody: while its time is not known, the encounter, which is the earliest that it can have begun."""
    calendar: Id | None = None
    """Holidays that business days leave out, from `law/calendars.yaml`."""
    target: FactId | None = None

    @model_validator(mode="after")
    def _limited(self) -> "Clock":
        if (self.kind in ("hours", "days", "business_days")) != (self.limit is not None):
            raise ValueError("kind hours, days and business_days need a limit; asap and immediate have none")
        if (self.kind == "business_days") != (self.calendar is not None):
            raise ValueError("kind business_days, and only that one, names a calendar of law/calendars.yaml")
        return self


class Followup(Node):
    """What comes after a duty, with a clock of its own: the recipient's first act, a denial, a second look."""

    what: Line
    owed_by: Literal["duty_holder", "recipient"]
    clock: Clock


class DutyDisclosure(Node):
    policy: Id
    when_flag: dict[Id, Id] = Field(default_factory=dict)
    """Another policy while a decision carries that flag."""


class Duty(Node):
    id: Id
    title: Line
    jurisdiction: Id
    duty_holder: Line
    owed_by: Literal[
        "reporting_agency", "reporting_officer", "child_welfare_agency", "juvenile_officer", "federal_agency", "state"
    ] = "reporting_agency"
    """The duty holder as a role that the system knows; `duty_holder` has the words of the law."""
    trigger: Line
    purpose: Line
    recipient_role: Id
    channel: Literal["electronic", "task", "standing"] = "electronic"
    """A task is done by a person, or by another agency, and recorded. A standing duty is set off by no encounter."""
    clock: Clock | None
    """None exactly for a standing duty."""
    priority: PriorityClass
    acknowledgement: Literal["accepted", "done"]
    """The recipient's answer that ends the duty; of a task: that it was done."""
    owner: Id
    """Who has to act while it is for review, or open: an `Owner`, or a role of `law/directory/`."""
    disclosure: DutyDisclosure | None = None
    """What a notice may tell; only an electronic duty has one."""
    consent_required: bool = False
    citation_verified: bool = True
    """Whether the letter of the citation was seen in the text that is in force."""
    followups: tuple[Followup, ...] = Field(default=(), strict=False)
    side_effects: Lines = ()
    versions: tuple[DutyVersion, ...] = Field(strict=False, min_length=1)
    note: Line | None = None

    @model_validator(mode="after")
    def _continuous(self) -> "Duty":
        follow_on([version.effective for version in self.versions])
        return self

    @model_validator(mode="after")
    def _by_channel(self) -> "Duty":
        if (self.channel == "electronic") != (self.disclosure is not None):
            raise ValueError("an electronic duty names its disclosure policy; a task and a standing duty have none")
        if (self.channel == "standing") != (self.clock is None):
            raise ValueError("write a clock; only a standing duty writes clock: null")
        return self


class DutiesFile(Node):
    duties: tuple[Duty, ...] = Field(strict=False)
