"""Every name in a release has something behind it, and nothing is defined twice: checked before it is compiled."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rulebook import schema
from rulebook.conditions import All, AnyOf, AtLeast, Compare, Condition, Not, Policy, TableAmount, Use
from rulebook.deadlines import CalendarsFile
from rulebook.errors import LawError
from rulebook.parameters import AmountSpec, ParametersFile
from rulebook.screening import ScreeningFile
from rulebook.source import Finding, LawFile, Place
from rulebook.training import TrainingFile, catalog_problems

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LawFiles:
    """Every file of a release, validated one by one."""

    release: LawFile[schema.Release]
    policy: LawFile[schema.PolicyFile]
    jurisdictions: tuple[LawFile[schema.Jurisdictions], ...]
    facts: tuple[LawFile[schema.FactsFile], ...]
    blocks: tuple[LawFile[schema.BlocksFile], ...]
    calendars: tuple[LawFile[CalendarsFile], ...]
    sources: tuple[LawFile[schema.SourcesFile], ...]
    duties: tuple[LawFile[schema.DutiesFile], ...]
    programs: tuple[LawFile[schema.ProgramsFile], ...]
    directory: tuple[LawFile[schema.DirectoryFile], ...]
    disclosure: tuple[LawFile[schema.DisclosureFile], ...]
    parameters: tuple[LawFile[ParametersFile], ...]
    screening: tuple[LawFile[ScreeningFile], ...]
    training: tuple[LawFile[TrainingFile], ...]
    """None in releases from before there was a catalog of courses."""


def names(files: Iterable[LawFile[Any]], attribute: str) -> dict[str, object]:
    """The entries of one kind, over all its files."""
    return {key: value for file in files for key, value in getattr(file.content, attribute).items()}


def demand_references(files: LawFiles) -> None:
    """Raises LawError naming the first few names that nothing stands behind, each with file and line."""
    found = list(references(files))
    if found:
        raise LawError("\n".join(str(finding) for finding in found[:_SHOWN]))


def references(files: LawFiles) -> Iterator[Finding]:
    """Everything that an entry names exists, and nothing is defined twice."""
    yield from _defined_once(files)
    yield from _facts(files)
    yield from _directory(files)
    yield from _disclosure(files)
    yield from _duties(files)
    yield from _programs(files)
    yield from _parameters(files)
    yield from _training(files)


def _defined_once(files: LawFiles) -> Iterator[Finding]:
    kinds: list[tuple[Iterable[LawFile[Any]], str]] = [
        (files.jurisdictions, "jurisdictions"),
        (files.facts, "facts"),
        (files.blocks, "blocks"),
        (files.calendars, "calendars"),
        (files.sources, "sources"),
        (files.directory, "units"),
        (files.directory, "counties"),
        (files.disclosure, "policies"),
        (files.disclosure, "texts"),
        (files.parameters, "tables"),
        (files.parameters, "percentages"),
    ]
    for several, attribute in kinds:
        seen: set[str] = set()
        for file in several:
            for key in getattr(file.content, attribute):
                if key in seen:
                    message = f"{key} is already defined in another file; keep one of them"
                    yield file.finding((attribute, key), message)
                seen.add(key)
    ids: set[str] = set()
    for screening in files.screening:
        for number, protocol in enumerate(screening.content.protocols):
            key = f"{protocol.id}@{protocol.version}"
            if key in ids:
                yield screening.finding(("protocols", number), f"{key} is defined twice; raise the version")
            ids.add(key)
    for file, place, entry in _entries(files):
        if entry.id in ids:
            yield file.finding(place, f"{entry.id} is defined twice; keep one of them")
        ids.add(entry.id)


def _entries(files: LawFiles) -> Iterator[tuple[LawFile[Any], Place, schema.Duty | schema.Program]]:
    for duties in files.duties:
        for number, duty in enumerate(duties.content.duties):
            yield duties, ("duties", number), duty
    for programs in files.programs:
        for number, program in enumerate(programs.content.programs):
            yield programs, ("programs", number), program


def _facts(files: LawFiles) -> Iterator[Finding]:
    facts = names(files.facts, "facts")
    check_conditions = _conditions(files)
    for file in files.facts:
        for fact, spec in file.content.facts.items():
            if spec.ask is not None and spec.ask not in facts:
                message = f"fact {fact}: ask names {spec.ask}, which is not in the fact catalogue; correct it"
                yield file.finding(("facts", fact, "ask"), message)
        for number, derivation in enumerate(file.content.derivations):
            where = f"derivation of {', '.join(derivation.then)}"
            place: Place = ("derivations", number)
            yield from check_conditions(file, (*place, "when"), derivation.when, where)
            for fact in derivation.then:
                if fact not in facts:
                    yield file.finding((*place, "then", fact), _no_fact(where, fact))
    for blocks in files.blocks:
        for name, block in blocks.content.blocks.items():
            yield from check_conditions(blocks, ("blocks", name), block, f"block {name}")


def _directory(files: LawFiles) -> Iterator[Finding]:
    units, jurisdictions = names(files.directory, "units"), names(files.jurisdictions, "jurisdictions")
    for file in files.directory:
        for number, spec in enumerate(file.content.recipients):
            place: Place = ("recipients", number)
            if spec.by_unit is not None and spec.by_unit not in units:
                message = f"recipient of role {spec.role}: there is no unit table {spec.by_unit}; add it to `units`"
                yield file.finding((*place, "by_unit"), message)
            if spec.jurisdiction not in jurisdictions:
                yield file.finding((*place, "jurisdiction"), _no_jurisdiction(spec.role, spec.jurisdiction))


def _disclosure(files: LawFiles) -> Iterator[Finding]:
    texts = names(files.disclosure, "texts")
    for file in files.disclosure:
        for policy_id, policy in file.content.policies.items():
            for part in ("purpose", "redisclosure"):
                text = getattr(policy, part)
                if text not in texts:
                    message = f"disclosure policy {policy_id}: there is no text {text}; add it to `texts`"
                    yield file.finding(("policies", policy_id, part), message)


def _duties(files: LawFiles) -> Iterator[Finding]:
    check_conditions = _conditions(files)
    for file in files.duties:
        for number, duty in enumerate(file.content.duties):
            place: Place = ("duties", number)
            for part, message in _duty_names(duty, files):
                yield file.finding((*place, *part), f"{duty.id}: {message}")
            for v, version in enumerate(duty.versions):
                for r, rule in enumerate(version.rules):
                    way: Place = (*place, "versions", v, "rules", r)
                    if rule.when is not None:
                        yield from check_conditions(file, (*way, "when"), rule.when, duty.id)
                    for f, flag in enumerate(rule.flags):
                        if flag.when is not None:
                            yield from check_conditions(file, (*way, "flags", f, "when"), flag.when, duty.id)
                    if rule.review_after is not None and not _is_duration(rule.review_after, files):
                        yield file.finding((*way, "review_after"), f"{duty.id}: {_no_duration(rule.review_after)}")


def _duty_names(duty: schema.Duty, files: LawFiles) -> Iterator[tuple[Place, str]]:
    if duty.jurisdiction not in names(files.jurisdictions, "jurisdictions"):
        yield ("jurisdiction",), _no_jurisdiction(None, duty.jurisdiction)
        return
    wanted = (duty.recipient_role, duty.jurisdiction)
    filled = [s for file in files.directory for s in file.content.recipients if (s.role, s.jurisdiction) == wanted]
    if not filled:
        yield ("recipient_role",), f"nobody fills the role {duty.recipient_role}; add it to law/directory/"
    elif duty.channel == "electronic" and any(spec.delivery == "task" for spec in filled):
        yield ("channel",), f"nobody in the role {duty.recipient_role} can be sent a message; write channel: task"
    policies = names(files.disclosure, "policies")
    for policy_id in (duty.disclosure.policy, *duty.disclosure.when_flag.values()) if duty.disclosure else ():
        policy = policies.get(policy_id)
        if not isinstance(policy, schema.DisclosurePolicy):
            yield ("disclosure",), f"there is no disclosure policy {policy_id}; add it to law/disclosure.yaml"
        elif policy.role != duty.recipient_role:
            yield ("disclosure",), f"disclosure policy {policy_id} is for another role; name one for its own"
    clocks: list[tuple[Place, schema.Clock | None]] = [(("clock",), duty.clock)]
    clocks += [(("followups", n, "clock"), followup.clock) for n, followup in enumerate(duty.followups)]
    for place, clock in clocks:
        if clock is not None and clock.calendar and clock.calendar not in names(files.calendars, "calendars"):
            yield place, f"there is no calendar {clock.calendar}; add it to law/calendars.yaml"
        if clock is not None and clock.target and not _is_duration(clock.target, files):
            yield place, _no_duration(clock.target)


def _programs(files: LawFiles) -> Iterator[Finding]:
    facts, sources = names(files.facts, "facts"), names(files.sources, "sources")
    check_conditions = _conditions(files)
    for file in files.programs:
        for number, program in enumerate(file.content.programs):
            place: Place = ("programs", number)
            if program.jurisdiction not in names(files.jurisdictions, "jurisdictions"):
                yield file.finding((*place, "jurisdiction"), _no_jurisdiction(program.id, program.jurisdiction))
            for key in sorted(set(program.sources) - set(sources)):
                message = f"{program.id}: there is no source {key}; add it to law/sources.yaml"
                yield file.finding((*place, "sources"), message)
            for n, fact in enumerate(program.common_unknowns):
                if fact not in facts:
                    yield file.finding((*place, "common_unknowns", n), _no_fact(program.id, fact))
            for v, version in enumerate(program.versions):
                way: Place = (*place, "versions", v)
                yield from check_conditions(file, (*way, "when"), version.when, program.id)
                for fact in version.supply:
                    if fact not in facts:
                        yield file.finding((*way, "supply"), _no_fact(program.id, fact))


def _parameters(files: LawFiles) -> Iterator[Finding]:
    tables, facts = names(files.parameters, "tables"), names(files.facts, "facts")
    for file in files.parameters:
        for name, table in file.content.tables.items():
            if table.jurisdiction not in names(files.jurisdictions, "jurisdictions"):
                yield file.finding(("tables", name, "jurisdiction"), _no_jurisdiction(name, table.jurisdiction))
        for name, percentage in file.content.percentages.items():
            if percentage.fact not in facts:
                yield file.finding(("percentages", name), _no_fact(name, percentage.fact))
            if percentage.of is not None and percentage.of not in tables:
                what = f"{name}: there is no table {percentage.of}; add it to `tables`"
                yield file.finding(("percentages", name), what)


def _training(files: LawFiles) -> Iterator[Finding]:
    if not files.training:
        return
    courses = [course for file in files.training for course in file.content.courses]
    protocols = [protocol for file in files.screening for protocol in file.content.protocols]
    wrong = dict(catalog_problems(courses, protocols))
    seen: set[str] = set()
    for file in files.training:
        for number, course in enumerate(file.content.courses):
            if course.id in seen:
                yield file.finding(("courses", number), f"{course.id} is defined twice; keep one of them")
            seen.add(course.id)
            if course.id in wrong:
                yield file.finding(("courses", number, "protocols"), f"{course.id}: {wrong[course.id]}")
    for screening in files.screening:
        for number, protocol in enumerate(screening.content.protocols):
            if protocol.id in wrong:
                place: Place = ("protocols", number, "training_required")
                yield screening.finding(place, f"{protocol.id}: {wrong[protocol.id]}")


_CheckConditions = Callable[[LawFile[Any], Place, Condition, str], Iterator[Finding]]


def _conditions(files: LawFiles) -> _CheckConditions:
    """A check of the names in one condition."""
    facts, blocks = names(files.facts, "facts"), names(files.blocks, "blocks")
    policies = files.policy.content.values
    tables = names(files.parameters, "tables")

    def check_names(file: LawFile[Any], place: Place, whole: Condition, where: str) -> Iterator[Finding]:
        for part, node in walk(whole):
            match node:
                case Compare(fact=fact) if fact not in facts:
                    yield file.finding((*place, *part), _no_fact(where, fact))
                case Use(use=name) if name not in blocks:
                    message = f"{where}: there is no block {name}; write one of {_listed(blocks)}"
                    yield file.finding((*place, *part), message)
                case Policy(policy=name) if name not in policies:
                    message = f"{where}: there is no policy value {name}; write one of {_listed(policies)}"
                    yield file.finding((*place, *part), message)
                case Compare(threshold=TableAmount() as amount):
                    for message in _table(amount, tables, facts):
                        yield file.finding((*place, *part), f"{where}: {message}")
                case _:
                    pass

    return check_names


def _table(amount: TableAmount, tables: Mapping[str, object], facts: Collection[str]) -> Iterator[str]:
    table = tables.get(amount.table)
    if not isinstance(table, AmountSpec):
        yield f"there is no table {amount.table}; write one of {_listed(tables.keys())}"
    elif amount.taken_by is not None and amount.taken_by not in {adoption.program for adoption in table.adopted}:
        yield f"table {amount.table} names no day on which {amount.taken_by} takes it; add it to `adopted`"
    if amount.of not in facts:
        yield f"fact {amount.of} is not in the fact catalogue; add it to law/facts.yaml or correct the name"


def walk(condition: Condition, place: Place = ()) -> Iterator[tuple[Place, Condition]]:
    """A condition and all its parts, each with the way to it."""
    yield place, condition
    match condition:
        case All(all=operands):
            key = "all"
        case AnyOf(any=operands):
            key = "any"
        case AtLeast(of=operands):
            key = "of"
        case Not(not_=operand):
            yield from walk(operand, (*place, "not"))
            return
        case _:
            return
    for number, operand in enumerate(operands):
        yield from walk(operand, (*place, key, number))


def _is_duration(name: str, files: LawFiles) -> bool:
    value = files.policy.content.values.get(name)
    return value is not None and value.type == "duration"


def _no_duration(name: str) -> str:
    return f"{name} is not a duration of law/policy.yaml; add it there"


def _no_fact(where: str, fact: str) -> str:
    return f"{where}: fact {fact} is not in the fact catalogue; add it to law/facts.yaml or correct the name"


def _no_jurisdiction(where: str | None, code: str) -> str:
    said = f"jurisdiction {code} is not in law/jurisdictions.yaml; add it there"
    return f"{where}: {said}" if where else said


def _listed(known: Collection[str]) -> str:
    return ", ".join(sorted(known))
