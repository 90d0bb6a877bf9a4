"""The facts that a records system reports about an encounter and its subjects, and how they are grouped for sealing.

Everything here is about a person: it is sealed before it is stored (see `kernel.sealing`), and a service sees only
the groups that it has been granted. A missing value always means "not known", never "no".
"""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from contracts.codes import Citizenship, CountyFips, OriCode

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/-]{1,64}$")]
"""A code of some published list (NIBRS, NIEM, HTCDS, an agency's own)."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Years = Annotated[int, Field(ge=0, le=120)]
"""Age in completed years."""


def _without_floats(value: object) -> object:
    """Decimal numbers travel as strings: money and percentages are never binary floats."""
    return str(Decimal(str(value))) if isinstance(value, float) else value


FactValue = Annotated[bool | int | str, BeforeValidator(_without_floats)]
"""One value of the open fact map; dates and decimals are strings, typed by the law's fact catalogue. The strings
`unknown` (asked, not known) and `refused` are reserved."""


class FieldGroup(StrEnum):
    """The unit of sealing and of need to know: each group of a subject has its own key."""

    IDENTITY = "identity"
    ENCOUNTER = "encounter"
    AGE = "age"
    CIRCUMSTANCES = "circumstances"
    STATUS = "status"
    NARRATIVE = "narrative"
    BASIS = "basis"
    """Why a duty is due or not: implies age, status or conduct."""
    DISCLOSURE = "disclosure"
    """What a notice told its recipient."""
    ACKNOWLEDGEMENT = "acknowledgement"
    """What a recipient answered: case number, comment."""
    DETERMINATION = "determination"
    """What a person may be eligible for, and why: `docs/determinations.md`, form 1."""
    FACT_ROW = "fact_row"
    """What rules read of age, circumstances and status once more, as one row: never leaves the eligibility service."""


class Facts(BaseModel):
    """Base of all reported facts: closed (an unknown field is an error), immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(Facts):
    given_name: Text | None = None
    family_name: Text | None = None
    aliases: tuple[Text, ...] = ()
    sex: Literal["F", "M", "U", "X"] | None = None
    phone: Text | None = None
    address: Text | None = None
    safe_at_home: bool | None = None
    """Enrolled in Safe at Home (RSMo 589.660 ff.): `address` then holds the substitute address only."""


class Location(Facts):
    county_fips: CountyFips | None = None
    """County where the person was encountered: routes the juvenile duty. Absent or unresolved is accepted."""
    address: Text | None = None
    city: Text | None = None
    postal_code: Annotated[str, StringConstraints(pattern=r"^\d{5}(-\d{4})?$")] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    place_type: Code | None = None


class EncounterFacts(Facts):
    """What is true of the encounter as a whole; sealed once under each subject."""

    incident_number: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ._/#:-]{1,64}$")]
    kind: Code | None = None
    reporting_unit: Text | None = None
    officer_ref: Code | None = None
    location: Location = Location()


class Age(Facts):
    """What is known of the age. `birth_date` and `years` count as verified only with `verified_by`."""

    birth_date: date | None = None
    years: Years | None = None
    verified_by: Literal["document", "fingerprint", "ncic", "court_record", "child_protection_record"] | None = None
    estimated_min: Years | None = None
    estimated_max: Years | None = None
    stated_years: Years | None = None
    """The person's own claim. Victims are often coached: a claim to be 18 or older settles nothing."""
    apparent_minor: bool | None = None
    """The officer's own judgement."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.verified_by and self.birth_date is None and self.years is None:
            raise ValueError("verified_by needs birth_date or years")
        low, high = self.estimated_min, self.estimated_max
        if low is not None and high is not None and low > high:
            raise ValueError("estimated_min must not exceed estimated_max")
        return self


class Trafficking(Facts):
    type: Literal["sex", "labor", "both", "unknown"] | None = None
    force_fraud_coercion: Literal["indicated", "not_indicated", "unknown"] | None = None
    severe_form_excluded: bool | None = None
    victim_status: Literal["suspected", "presumed", "confirmed"] | None = None
    """`confirmed` only by whoever may confirm; RSMo 566.223 gives no test for it."""
    indicators: tuple[Code, ...] = ()
    offense_codes: tuple[Code, ...] = ()
    force_or_threat_indicated: bool | None = None
    """Facts that may bear on the defence of RSMo 566.223.2; never decided here."""


class Custody(Facts):
    protective_custody: bool | None = None
    """Taken into protective custody (RSMo 210.125)."""
    custody_for_offense: bool | None = None
    """Taken into custody for an offence (RSMo 211.061)."""
    conduct_alleged_on: date | None = None
    conduct_alleged_under_18: bool | None = None
    """Prostitution or other conduct alleged while under 18 (RSMo 567.020.5)."""


class JuvenileCourt(Facts):
    under_jurisdiction: bool | None = None
    committed_to_youth_services: bool | None = None
    in_childrens_division_custody: bool | None = None


class Needs(Facts):
    medical: bool | None = None
    shelter: bool | None = None
    safety: bool | None = None
    food: bool | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")] | None = None
    """ISO 639-3."""
    interpreter: bool | None = None
    suspected_trafficker_present: bool | None = None


class ScreeningResult(Facts):
    """Result of a screening protocol. A negative screen never cancels a duty."""

    protocol_id: Code
    protocol_version: Code
    administered_at: AwareDatetime | None = None
    outcome: Literal["negative", "possible", "clear", "stopped"]


class Circumstances(Facts):
    appears_victim: bool
    role: Literal["victim", "suspect_and_possible_victim", "missing_person", "accompanying"] | None = None
    trafficking: Trafficking = Trafficking()
    custody: Custody = Custody()
    juvenile_court: JuvenileCourt = JuvenileCourt()
    needs: Needs = Needs()
    residence_county_fips: CountyFips | None = None
    screening: tuple[ScreeningResult, ...] = ()
    facts: dict[Code, FactValue] = Field(default_factory=dict, max_length=200)
    """Further facts by their id in the law's fact catalogue (`law/facts.yaml`)."""


class Status(Facts):
    """Citizenship and immigration: never asked for by the notice, never required, shown to almost nobody."""

    citizenship: Citizenship | None = None
    citizenship_verified: bool | None = None
    facts: dict[Code, FactValue] = Field(default_factory=dict, max_length=50)


class SubjectFacts(Facts):
    """All that is known of one subject at one moment: the snapshot that events carry, group by group."""

    encounter: EncounterFacts | None = None
    age: Age | None = None
    circumstances: Circumstances | None = None
    status: Status | None = None
    identity: Identity | None = None
    narrative: Annotated[str, StringConstraints(max_length=8000)] | None = None

    def by_group(self) -> dict[FieldGroup, Any]:
        """JSON values of the groups that hold anything, for sealing."""
        values = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return {FieldGroup(name): value for name, value in values.items()}

    @classmethod
    def from_groups(cls, groups: dict[FieldGroup, Any]) -> "SubjectFacts":
        """The facts that the opened groups hold; groups that were not granted are simply not known."""
        return cls.model_validate({group.value: value for group, value in groups.items()})


class Subject(Facts):
    """One person of a report."""

    subject_number: Annotated[int, Field(ge=1, le=999)]
    age: Age | Literal["unknown"]
    """Required, so that nobody forgets it; `unknown` is a full answer."""
    circumstances: Circumstances
    status: Status | None = None
    identity: Identity | None = None
    narrative: Annotated[str, StringConstraints(max_length=8000)] | None = None


class EncounterReport(Facts):
    """A first-encounter report: thin is valid, everything else may come by amendment."""

    agency_ori: OriCode
    encounter_at: AwareDatetime
    discovered_at: AwareDatetime | None = None
    """First moment any official of the agency had the suspicion; starts legal clocks. Absent: `encounter_at`."""
    record_version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    encounter: EncounterFacts
    subjects: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _distinct_subjects(self) -> Self:
        numbers = [subject.subject_number for subject in self.subjects]
        if len(set(numbers)) != len(numbers):
            raise ValueError("subject_number must be different for each subject")
        return self

    def facts_of(self, subject: Subject) -> SubjectFacts:
        """The snapshot of one subject, with the encounter's facts in it."""
        return SubjectFacts(
            encounter=self.encounter,
            age=Age() if subject.age == "unknown" else subject.age,
            circumstances=subject.circumstances,
            status=subject.status,
            identity=subject.identity,
            narrative=subject.narrative,
        )


class Screening(Facts):
    """One person to screen: what a report says of one subject, and the encounter if it matters."""

    encounter_at: AwareDatetime
    encounter: EncounterFacts | None = None
    subject: Subject
    jurisdiction: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    """Whose law applies; absent: the installation's own."""

    def facts(self) -> SubjectFacts:
        """Identity and narrative are left out: no rule reads them."""
        return SubjectFacts(
            encounter=self.encounter,
            age=Age() if self.subject.age == "unknown" else self.subject.age,
            circumstances=self.subject.circumstances,
            status=self.subject.status,
        )
