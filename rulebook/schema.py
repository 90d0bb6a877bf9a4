"""The kinds of files in `law/`, as closed pydantic models: what a lawyer may write, and nothing else."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from contracts.codes import CountyFips
from contracts.events import ClockKind, Outcome, PriorityClass
from rulebook.conditions import Condition, Node, Scalar

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,80}$")]
FactId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Line = Annotated[str, StringConstraints(min_length=1)]
Lines = Annotated[tuple[Line, ...], Field(strict=False)]
Cited = Annotated[tuple[Line, ...], Field(strict=False, min_length=1)]
_DURATION = TypeAdapter(timedelta)


class Period(Node):
    """From a day on, up to and not including `until`."""

    from_: date = Field(alias="from")
    until: date | None = None

    @model_validator(mode="after")
    def _forward(self) -> "Period":
        if self.until is not None and self.until <= self.from_:
            raise ValueError("until must be later than from")
        return self

    def holds(self, day: date) -> bool:
        return self.from_ <= day and (self.until is None or day < self.until)


def follow_on(periods: list[Period]) -> None:
    """Raises ValueError where versions leave a gap or overlap."""
    for earlier, later in pairwise(periods):
        if earlier.until != later.from_:
            raise ValueError(
                f"versions leave a gap or overlap: write until: {later.from_} in the one before, oldest version first"
            )


class Release(Node):
    """The law is released as a whole."""

    version: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{1,2}\.\d+$")]
    in_force_from: date
    author: Line
    approver: Line
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Seal of what was approved; written by `firstnotice law archive`."""

    @model_validator(mode="after")
    def _two_people(self) -> "Release":
        author, approver = (" ".join(name.casefold().split()) for name in (self.author, self.approver))
        if author == approver:
            raise ValueError("approver must be another person than author")
        return self


class Jurisdiction(Node):
    name: Line
    within: Id | None = None
    """Whose duties apply as well: a state is within US."""
    state_fips: Annotated[str, StringConstraints(pattern=r"^\d{2}$")] | None = None
    time_zone: Line
    """IANA zone in which days are counted."""


class Jurisdictions(Node):
    jurisdictions: dict[Id, Jurisdiction]


class PolicyValue(Node):
    """A choice of the operator. Durations are written as ISO 8601 (PT1H)."""

    type: Literal["duration", "choice"]
    value: str
    choices: Lines = ()
    meaning: Line

    @model_validator(mode="after")
    def _typed(self) -> "PolicyValue":
        if self.type == "choice" and self.value not in self.choices:
            raise ValueError(f"value must be one of: {', '.join(self.choices)}")
        if self.type == "duration":
            self.duration()
        return self

    def duration(self) -> timedelta:
        return _DURATION.validate_python(self.value)


class PolicyFile(Node):
    version: Line
    values: dict[FactId, PolicyValue]


FactType = Literal["bool", "int", "decimal", "date", "enum"]
FactGroup = Literal["age", "encounter", "circumstances", "status", "supply", "record"]


class FactSpec(Node):
    """One entry of the fact catalogue.

    `group` is the sealed group that holds it; `supply` is about services rather than the person, `record` about the
    record itself. `from` is the field of the report that holds it; facts without it travel in the group's `facts` map.
    """

    type: FactType
    group: FactGroup
    sensitivity: Literal["low", "personal", "high"]
    question: Line
    from_: Line | None = Field(default=None, alias="from")
    computed: bool = False
    """Set by `rulebook.person`, never reported."""
    ask: FactId | None = None
    """The fact to ask for instead, where this one follows from it."""
    values: Lines = ()
    ordered: bool = False
    """The values of the enumeration are listed from least to most."""
    note: Line | None = None

    @model_validator(mode="after")
    def _enumeration(self) -> "FactSpec":
        if (self.type == "enum") != bool(self.values):
            raise ValueError("an enum lists its values, any other type has none")
        return self


class OneOf(Node):
    one_of: Cited


class Derivation(Node):
    """Adds a fact when the condition is certainly true; never overwrites a recorded one. Applied in order."""

    when: Condition
    then: dict[FactId, OneOf | Scalar]
    cite: Lines = ()
    presumption: bool = False
    """Not known but presumed: answers that stand on it are reported apart from those that do not."""


class FactsFile(Node):
    facts: dict[FactId, FactSpec]
    derivations: tuple[Derivation, ...] = Field(default=(), strict=False)


class BlocksFile(Node):
    blocks: dict[Id, Condition]


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
    limit: int | None = Field(default=None, ge=1)
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
    """Who has to act while it is for review, or open."""
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


class UnitTable(Node):
    """A CSV beside the directory file: one row per county; optional columns effective_from and effective_until."""

    file: Line
    unit: Line
    county: Line


class CountyList(Node):
    """A CSV beside the directory file that names every county of a jurisdiction, so that none can be forgotten."""

    file: Line
    county: Line
    name: Line
    cite: Cited


class CountyOverride(Node):
    county: CountyFips
    recipient: Id
    effective: Period


class RecipientSpec(Node):
    """Who fills a role. With `by_unit`, the recipient depends on the county of the encounter."""

    role: Id
    jurisdiction: Id
    name: Line
    recipient: Annotated[str, StringConstraints(pattern=r"^[a-z0-9\-]+(\{unit\})?$")]
    by_unit: Id | None = None
    delivery: Literal["electronic", "task"] = "electronic"
    """A task: nobody who could take a message, such as a hotline or the victim; a person tells them."""
    effective: Period
    overrides: tuple[CountyOverride, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _unit(self) -> "RecipientSpec":
        if (self.by_unit is not None) != self.recipient.endswith("{unit}"):
            raise ValueError("recipient ends in {unit} exactly when by_unit names a table")
        return self


class DirectoryFile(Node):
    units: dict[Id, UnitTable] = Field(default_factory=dict)
    counties: dict[Id, CountyList] = Field(default_factory=dict)
    """By jurisdiction."""
    recipients: tuple[RecipientSpec, ...] = Field(strict=False)


class DisclosurePolicy(Node):
    """Exactly what a role is told. A field that is not named is not sent."""

    role: Id
    purpose: Id
    redisclosure: Id
    cite: Cited
    fields: Cited
    flags: Lines = ()


class Withhold(Node):
    """Fields that nobody gets while a reported field is true."""

    when_true: Line
    fields: Cited
    cite: Cited


class DisclosureFile(Node):
    texts: dict[Id, Line] = Field(default_factory=dict)
    withhold: tuple[Withhold, ...] = Field(default=(), strict=False)
    policies: dict[Id, DisclosurePolicy] = Field(default_factory=dict)


class Dispute(Node):
    """Two readings of a version that are before a court: both are answered."""

    issue: Line
    case: Line
    other_reading: Id
    """A block of law/blocks.yaml that stands in for the version's `when`."""


class ProgramVersion(Node):
    effective: Period
    cite: Cited
    when: Condition
    dispute: Dispute | None = None
    supply: tuple[FactId, ...] = Field(default=(), strict=False)
    """Facts about the service rather than the person, reported apart."""
    known_from: date | None = None
    note: Line | None = None


class NextStep(Node):
    agency: Line | None = None
    dss: Line | None = None


class Program(Node):
    id: Id
    name: Line
    jurisdiction: Id
    level: Literal["federal", "state", "federal_state"]
    agency: Line
    kind: Id
    services: tuple[Id, ...] = Field(strict=False)
    tags: tuple[Id, ...] = Field(strict=False)
    gives: Line
    victim_status_min: Literal["none", "suspected", "presumed", "confirmed"]
    le_cooperation: Id
    version_key: FactId | None = None
    """A date fact that chooses the version instead of the evaluation date."""
    versions: tuple[ProgramVersion, ...] = Field(strict=False, min_length=1)
    time_limits: Line | None = None
    documents: Lines
    next_step: NextStep
    common_unknowns: tuple[FactId, ...] = Field(strict=False)
    sources: Lines
    confidence: Literal["high", "medium", "low"]

    @model_validator(mode="after")
    def _continuous(self) -> "Program":
        follow_on([version.effective for version in self.versions])
        return self


class SourcesFile(Node):
    sources: dict[Id, Line]
    """Pages in which encoded rules were found, by the key that programs use."""


class ProgramsFile(Node):
    programs: tuple[Program, ...] = Field(strict=False)
