"""Loads one release of the law, checks it whole, and compiles it; what does not fit is refused before it is applied."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rulebook import schema
from rulebook.compiled import CompiledDerivation, CompiledDuty, CompiledProgram, Link
from rulebook.deadlines import Calendar, CalendarsFile
from rulebook.directory import Directory
from rulebook.disclosure import DisclosurePolicy, Withhold
from rulebook.errors import LawError
from rulebook.parameters import Parameters, ParametersFile
from rulebook.person import ReportedField, reported_fields
from rulebook.references import demand_references
from rulebook.screening import Protocols, ScreeningFile
from rulebook.source import LawFile, LawFiles, Source
from rulebook.training import Courses, TrainingFile

LAW = Path(__file__).resolve().parent.parent / "law"
"""The release that ships with the package, in a checkout and in a wheel."""

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
    calendars: Mapping[str, Calendar]
    """Holidays, for clocks of business days."""
    policy: Mapping[str, schema.PolicyValue]
    facts: Mapping[str, schema.FactSpec]
    reported: tuple[ReportedField, ...]
    derivations: tuple[CompiledDerivation, ...]
    duties: tuple[CompiledDuty, ...]
    programs: tuple[CompiledProgram, ...]
    sources: Mapping[str, str]
    """Pages in which rules of programs were found, by the key that programs use."""
    directory: Directory
    counties: Mapping[str, Mapping[str, str]]
    """Name of each county by its code, for jurisdictions in which a role goes by county."""
    disclosure: Mapping[str, DisclosurePolicy]
    withhold: tuple[Withhold, ...]
    parameters: Parameters
    """Amounts by date and household size, and percentages."""
    screening: Protocols
    courses: Courses
    """On trafficking, that a training record may name."""
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


def read_files(path: Path | None = None) -> LawFiles:
    """Every file of a release, each true to its own kind. Raises LawError naming file, line and what to write."""
    return _read(Source(path or LAW))


def _read(source: Source) -> LawFiles:
    return LawFiles(
        release=source.one("release", schema.Release),
        policy=source.one("policy", schema.PolicyFile),
        jurisdictions=source.all("jurisdictions", schema.Jurisdictions),
        facts=source.all("facts", schema.FactsFile),
        blocks=source.all("blocks", schema.BlocksFile),
        calendars=source.all("calendars", CalendarsFile),
        sources=source.all("sources", schema.SourcesFile),
        duties=source.all("duties", schema.DutiesFile),
        programs=source.all("programs", schema.ProgramsFile),
        directory=source.all("directory", schema.DirectoryFile),
        disclosure=source.all("disclosure", schema.DisclosureFile),
        parameters=source.all("parameters", ParametersFile),
        screening=source.all("screening", ScreeningFile),
        training=source.any("training", TrainingFile),
    )


def load_law(path: Path | None = None, overrides: Mapping[str, Override] | None = None) -> Law:
    """Reads, checks and compiles a release; `overrides` replace policy values (a duration as timedelta or ISO 8601).

    Raises LawError, which names the file, the line and what to write instead. Nothing is half applied: whoever holds
    an earlier release keeps it.
    """
    source = Source(path or LAW)
    files = _read(source)
    demand_references(files)
    policy = _overridden(files.policy.content, overrides or {})
    facts = _merged(files.facts, "facts")
    parameters = Parameters.of(_merged(files.parameters, "tables"), _merged(files.parameters, "percentages"))
    link = Link(
        facts=facts,
        blocks=_merged(files.blocks, "blocks"),
        policy={name: value.value for name, value in policy.values.items()},
        tables=parameters.tables,
    )
    units = {name: source.units(table) for name, table in _merged(files.directory, "units").items()}
    counties = {code: source.counties(listed) for code, listed in _merged(files.directory, "counties").items()}
    duties = tuple(link.duty(duty, file.name) for file in files.duties for duty in file.content.duties)
    programs = tuple(link.program(program, file.name) for file in files.programs for program in file.content.programs)
    policies = _merged(files.disclosure, "policies")
    return Law(
        version=files.release.content.version,
        # Covers what was read: every file must have been by now.
        digest=source.digest(policy),
        policy_version=_policy_version(policy, bool(overrides)),
        release=files.release.content,
        jurisdictions=_merged(files.jurisdictions, "jurisdictions"),
        calendars=_merged(files.calendars, "calendars"),
        policy=policy.values,
        facts=facts,
        reported=reported_fields(facts),
        derivations=tuple(link.derivation(item) for file in files.facts for item in file.content.derivations),
        duties=duties,
        programs=programs,
        sources=_merged(files.sources, "sources"),
        directory=Directory(tuple(spec for file in files.directory for spec in file.content.recipients), units),
        counties=counties,
        disclosure={name: DisclosurePolicy.of(spec) for name, spec in policies.items()},
        withhold=tuple(Withhold.of(spec) for file in files.disclosure for spec in file.content.withhold),
        parameters=parameters,
        screening={(p.id, p.version): p for file in files.screening for p in file.content.protocols},
        courses={course.id: course for file in files.training for course in file.content.courses},
        texts=_merged(files.disclosure, "texts"),
    )


def _merged(files: tuple[LawFile[Any], ...], attribute: str) -> dict[str, Any]:
    return {key: value for file in files for key, value in getattr(file.content, attribute).items()}


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
