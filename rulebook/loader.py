"""Loads one release of the law, checks it whole, and compiles it; what does not fit is refused before it is applied."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from rulebook import schema
from rulebook.compiled import CompiledDerivation, CompiledDuty, CompiledProgram, Link
from rulebook.directory import Directory, UnitRow
from rulebook.disclosure import DisclosurePolicy, Withhold
from rulebook.errors import LawError
from rulebook.files import read_yaml, validate
from rulebook.person import ReportedField, reported_fields

LAW = Path(__file__).resolve().parent.parent / "law"
"""The release that ships with the package, in a checkout and in a wheel."""

Model = TypeVar("Model", bound=BaseModel)
Override = str | timedelta


@dataclass(frozen=True)
class Law:
    """One release, compiled. Immutable, and shared by everybody in a process."""

    version: str
    digest: str
    """SHA-256 over the whole content, policy overrides included."""
    policy_version: str
    release: schema.Release
    jurisdictions: Mapping[str, schema.Jurisdiction]
    calendars: Mapping[str, schema.Calendar]
    """Holidays, for clocks of business days."""
    policy: Mapping[str, schema.PolicyValue]
    facts: Mapping[str, schema.FactSpec]
    reported: tuple[ReportedField, ...]
    derivations: tuple[CompiledDerivation, ...]
    duties: tuple[CompiledDuty, ...]
    programs: tuple[CompiledProgram, ...]
    directory: Directory
    disclosure: Mapping[str, DisclosurePolicy]
    withhold: tuple[Withhold, ...]
    texts: Mapping[str, str]
    """Purpose and re-disclosure texts that notices cite by id."""

    def duration(self, name: str) -> timedelta:
        return self.policy[name].duration()

    def applies_in(self, jurisdiction: str) -> tuple[str, ...]:
        """The jurisdiction and those it is within. Raises LawError for one the law does not know."""
        chain: list[str] = []
        here: str | None = jurisdiction
        while here is not None:
            if here not in self.jurisdictions:
                raise LawError("the jurisdiction is not in law/jurisdictions.yaml; add it there")
            chain.append(here)
            here = self.jurisdictions[here].within
        return tuple(chain)

    def local_date(self, jurisdiction: str, at: datetime) -> date:
        """The day in the jurisdiction's own time zone."""
        return at.astimezone(ZoneInfo(self.jurisdictions[jurisdiction].time_zone)).date()

    def state_of(self, county_fips: str) -> str | None:
        """The jurisdiction a county code belongs to, if the law holds it."""
        states = (code for code, j in self.jurisdictions.items() if j.state_fips == county_fips[:2])
        return next(states, None)


def load_law(path: Path | None = None, overrides: Mapping[str, Override] | None = None) -> Law:
    """Reads, checks and compiles a release; `overrides` replace policy values (a duration as timedelta or ISO 8601).

    Raises LawError, which names the file, the line and what to write instead.
    """
    source = _Source(path or LAW)
    release = source.one("release", schema.Release)
    policy = _overridden(source.one("policy", schema.PolicyFile), overrides or {})
    jurisdictions = _merged(source.all("jurisdictions", schema.Jurisdictions), "jurisdictions")
    facts_files = source.all("facts", schema.FactsFile)
    facts = _merged(facts_files, "facts")
    link = Link(
        facts=facts,
        blocks=_merged(source.all("blocks", schema.BlocksFile), "blocks"),
        policy={name: value.value for name, value in policy.values.items()},
    )
    directories = source.all("directory", schema.DirectoryFile)
    units = {name: source.units(table) for name, table in _merged(directories, "units").items()}
    disclosures = source.all("disclosure", schema.DisclosureFile)
    calendars = _merged(source.all("calendars", schema.CalendarsFile), "calendars")
    sources = _merged(source.all("sources", schema.SourcesFile), "sources")
    duties = tuple(
        link.duty(duty, name) for name, file in source.all("duties", schema.DutiesFile) for duty in file.duties
    )
    programs = tuple(
        link.program(program, name)
        for name, file in source.all("programs", schema.ProgramsFile)
        for program in file.programs
    )
    law = Law(
        version=release.version,
        # Covers what was read: every file must have been by now.
        digest=source.digest(policy),
        policy_version=_policy_version(policy, bool(overrides)),
        release=release,
        jurisdictions=jurisdictions,
        calendars=calendars,
        policy=policy.values,
        facts=facts,
        reported=reported_fields(facts),
        derivations=tuple(link.derivation(item) for _, file in facts_files for item in file.derivations),
        duties=duties,
        programs=programs,
        directory=Directory(tuple(spec for _, file in directories for spec in file.recipients), units),
        disclosure={name: DisclosurePolicy.of(spec) for name, spec in _merged(disclosures, "policies").items()},
        withhold=tuple(Withhold.of(spec) for _, file in disclosures for spec in file.withhold),
        texts=_merged(disclosures, "texts"),
    )
    _check_references(law, set(units), set(sources))
    return law


class _Source:
    """A folder of law files. A kind is `<kind>.yaml`, every file of the folder `<kind>/`, or both."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, Any] = {}

    def one(self, kind: str, model: type[Model]) -> Model:
        path = self._root / f"{kind}.yaml"
        return validate(model, self._content(path), path)

    def all(self, kind: str, model: type[Model]) -> list[tuple[str, Model]]:
        single = self._root / f"{kind}.yaml"
        paths = ([single] if single.exists() else []) + sorted((self._root / kind).glob("*.yaml"))
        if not paths:
            raise LawError(f"the law release has no {kind}; write {kind}.yaml or a file in {kind}/")
        return [(path.name, validate(model, self._content(path), path)) for path in paths]

    def units(self, table: schema.UnitTable) -> tuple[UnitRow, ...]:
        path = self._root / "directory" / table.file
        if not path.exists():
            raise LawError(f"directory/{table.file} is missing; add it or correct `file`")
        text = path.read_text(encoding="utf-8")
        self._read[path.name] = text
        rows = []
        for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
            county = row.get(table.county) or ""
            if len(county) != 5 or not county.isdigit() or not row.get(table.unit):
                raise LawError(f"{table.file}, line {line}: write a unit and a county code of five digits")
            until = row.get("effective_until")
            effective = schema.Period.model_validate(
                {
                    "from": date.fromisoformat(row.get("effective_from") or "0001-01-01"),
                    "until": date.fromisoformat(until) if until else None,
                }
            )
            rows.append(UnitRow(str(row[table.unit]), county, effective))
        return tuple(rows)

    def digest(self, policy: schema.PolicyFile) -> str:
        content = self._read | {"policy in force": policy.model_dump(mode="json")}
        canonical = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _content(self, path: Path) -> Any:
        content = read_yaml(path)
        self._read[str(path.relative_to(self._root))] = content
        return content


def _merged(files: list[tuple[str, Model]], attribute: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, file in files:
        for key, value in getattr(file, attribute).items():
            if key in merged:
                raise LawError(f"{name}: {key} is already defined in another file; keep one of them")
            merged[key] = value
    return merged


def _overridden(policy: schema.PolicyFile, overrides: Mapping[str, Override]) -> schema.PolicyFile:
    values = dict(policy.values)
    for name, wanted in overrides.items():
        if name not in values:
            raise LawError(f"there is no policy value {name}; write one of {', '.join(sorted(values))}")
        text = f"PT{wanted.total_seconds():f}S" if isinstance(wanted, timedelta) else wanted
        try:
            values[name] = schema.PolicyValue.model_validate(values[name].model_dump() | {"value": text})
        except ValueError:
            raise LawError(f"policy value {name}: write a {values[name].type}, such as {values[name].value}") from None
    return schema.PolicyFile(version=policy.version, values=values)


def _policy_version(policy: schema.PolicyFile, overridden: bool) -> str:
    if not overridden:
        return policy.version
    content = json.dumps(policy.model_dump(mode="json"), sort_keys=True)
    return f"{policy.version}+{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _check_references(law: Law, units: set[str], sources: set[str]) -> None:
    """Everything that an entry names exists."""
    for fact, catalogued in law.facts.items():
        if catalogued.ask is not None and catalogued.ask not in law.facts:
            raise LawError(f"fact {fact}: ask names {catalogued.ask}, which is not in the fact catalogue; correct it")
    for spec in law.directory.specs:
        if spec.by_unit is not None and spec.by_unit not in units:
            raise LawError(f"recipient of role {spec.role}: there is no unit table {spec.by_unit}; add it to `units`")
    for policy_id, policy in law.disclosure.items():
        for text in (policy.purpose, policy.redisclosure):
            if text not in law.texts:
                raise LawError(f"disclosure policy {policy_id}: there is no text {text}; add it to `texts`")
    ids: set[str] = set()
    entries: list[schema.Duty | schema.Program] = [duty.spec for duty in law.duties]
    entries += [program.spec for program in law.programs]
    for item in entries:
        if item.id in ids:
            raise LawError(f"{item.id} is defined twice; keep one of them")
        ids.add(item.id)
        if item.jurisdiction not in law.jurisdictions:
            raise LawError(
                f"{item.id}: jurisdiction {item.jurisdiction} is not in law/jurisdictions.yaml; add it there"
            )
    for program in law.programs:
        for key in set(program.spec.sources) - sources:
            raise LawError(f"{program.spec.id}: there is no source {key}; add it to law/sources.yaml")
    for duty in (compiled.spec for compiled in law.duties):
        filled = [
            s for s in law.directory.specs if (s.role, s.jurisdiction) == (duty.recipient_role, duty.jurisdiction)
        ]
        if not filled:
            raise LawError(f"{duty.id}: nobody fills the role {duty.recipient_role}; add it to law/directory/")
        if duty.channel == "electronic" and any(spec.delivery == "task" for spec in filled):
            raise LawError(
                f"{duty.id}: nobody can be sent a message in the role {duty.recipient_role}; write channel: task"
            )
        policies = [duty.disclosure.policy, *duty.disclosure.when_flag.values()] if duty.disclosure else []
        for policy_id in policies:
            if policy_id not in law.disclosure:
                raise LawError(f"{duty.id}: there is no disclosure policy {policy_id}; add it to law/disclosure.yaml")
            if law.disclosure[policy_id].role != duty.recipient_role:
                raise LawError(f"{duty.id}: disclosure policy {policy_id} is for another role; name one for its own")
        clocks = [*([duty.clock] if duty.clock else []), *(followup.clock for followup in duty.followups)]
        for calendar in {clock.calendar for clock in clocks if clock.calendar} - set(law.calendars):
            raise LawError(f"{duty.id}: there is no calendar {calendar}; add it to law/calendars.yaml")
        durations = {rule.review_after for version in duty.versions for rule in version.rules}
        for name in durations | {clock.target for clock in clocks}:
            if name is None:
                continue
            if name not in law.policy or law.policy[name].type != "duration":
                raise LawError(f"{duty.id}: {name} is not a duration of law/policy.yaml; add it there")
