"""Every name in a release has something behind it, and nothing is defined twice: checked before it is compiled."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any, get_args

from rulebook import schema
from rulebook.compiler import read_value
from rulebook.disclosure import parse_path
from rulebook.errors import LawError
from rulebook.fitting import ConditionCheck, fact_specs
from rulebook.source import Finding, LawFile, LawFiles, Place, names
from rulebook.training import catalog_problems

_SHOWN = 5


def demand_references(files: LawFiles) -> None:
    """Raises LawError naming the first few names that nothing stands behind, each with file and line."""
    found = list(islice(references(files), _SHOWN))
    if found:
        raise LawError("\n".join(str(finding) for finding in found))


def references(files: LawFiles) -> Iterator[Finding]:
    """Everything that an entry names exists, and nothing is defined twice."""
    yield from _defined_once(files)
    yield from _jurisdictions(files)
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


def _jurisdictions(files: LawFiles) -> Iterator[Finding]:
    within = {code: spec.within for file in files.jurisdictions for code, spec in file.content.jurisdictions.items()}
    fips: set[str] = set()
    for file in files.jurisdictions:
        for code, spec in file.content.jurisdictions.items():
            around = {code}
            outer = spec.within
            while outer is not None and outer not in around:
                around.add(outer)
                outer = within.get(outer)
            if spec.within is not None and (spec.within not in within or outer is not None):
                what = "it is within itself" if spec.within in within else f"there is no jurisdiction {spec.within}"
                message = f"{code}: {what}; write one of {_listed(within.keys() - {code})}, or leave `within` out"
                yield file.finding(("jurisdictions", code, "within"), message)
            if spec.state_fips in fips:
                message = f"{code}: another jurisdiction has state_fips {spec.state_fips}; correct it"
                yield file.finding(("jurisdictions", code, "state_fips"), message)
            fips |= {spec.state_fips} if spec.state_fips is not None else set()


def _facts(files: LawFiles) -> Iterator[Finding]:
    facts = fact_specs(files)
    check_conditions = ConditionCheck(files)
    for file in files.facts:
        for fact, spec in file.content.facts.items():
            if spec.ask is not None and spec.ask not in facts:
                message = f"fact {fact}: ask names {spec.ask}, which is not in the fact catalogue; correct it"
                yield file.finding(("facts", fact, "ask"), message)
            if spec.from_ is not None:
                yield from _path(file, ("facts", fact, "from"), spec.from_, f"fact {fact}")
        for number, derivation in enumerate(file.content.derivations):
            where = f"derivation of {', '.join(derivation.then)}"
            place: Place = ("derivations", number)
            yield from check_conditions(file, (*place, "when"), derivation.when, where)
            for fact, value in derivation.then.items():
                if fact not in facts:
                    yield file.finding((*place, "then", fact), _no_fact(where, fact))
                    continue
                try:
                    for item in value.one_of if isinstance(value, schema.OneOf) else (value,):
                        read_value(facts[fact], item)
                except ValueError as error:
                    yield file.finding((*place, "then", fact), f"{where}: {fact}: {error}")
    for blocks in files.blocks:
        for name, block in blocks.content.blocks.items():
            place = ("blocks", name)
            yield from check_conditions(blocks, place, block, f"block {name}")
            endless = check_conditions.endless(name)
            if endless is not None:
                yield blocks.finding(place, f"block {name} {endless}")


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
        for number, withhold in enumerate(file.content.withhold):
            yield from _path(file, ("withhold", number, "when_true"), withhold.when_true, "withhold")
            for n, field in enumerate(withhold.fields):
                yield from _path(file, ("withhold", number, "fields", n), field, "withhold")
        for policy_id, policy in file.content.policies.items():
            for part in ("purpose", "redisclosure"):
                text = getattr(policy, part)
                if text not in texts:
                    message = f"disclosure policy {policy_id}: there is no text {text}; add it to `texts`"
                    yield file.finding(("policies", policy_id, part), message)
            for n, field in enumerate(policy.fields):
                yield from _path(file, ("policies", policy_id, "fields", n), field, f"disclosure policy {policy_id}")


def _path(file: LawFile[Any], place: Place, dotted: str, where: str) -> Iterator[Finding]:
    try:
        parse_path(dotted)
    except LawError as error:
        yield file.finding(place, f"{where}: {error}")


def _duties(files: LawFiles) -> Iterator[Finding]:
    check_conditions = ConditionCheck(files)
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
    flags = {flag.flag for version in duty.versions for rule in version.rules for flag in rule.flags}
    for flag in duty.disclosure.when_flag if duty.disclosure else ():
        if flag not in flags:
            yield ("disclosure", "when_flag", flag), f"no rule sets the flag {flag}; write one of {_listed(flags)}"
    owners = {*get_args(schema.Owner), *(spec.role for file in files.directory for spec in file.content.recipients)}
    if duty.owner not in owners:
        yield ("owner",), f"there is no owner {duty.owner}; write one of {_listed(owners)}"
    clocks: list[tuple[Place, schema.Clock | None]] = [(("clock",), duty.clock)]
    clocks += [(("followups", n, "clock"), followup.clock) for n, followup in enumerate(duty.followups)]
    for place, clock in clocks:
        if clock is not None and clock.calendar and clock.calendar not in names(files.calendars, "calendars"):
            yield place, f"there is no calendar {clock.calendar}; add it to law/calendars.yaml"
        if clock is not None and clock.target and not _is_duration(clock.target, files):
            yield place, _no_duration(clock.target)


def _programs(files: LawFiles) -> Iterator[Finding]:
    facts, sources, blocks = fact_specs(files), names(files.sources, "sources"), names(files.blocks, "blocks")
    check_conditions = ConditionCheck(files)
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
            by = program.version_key
            if by is not None and (by not in facts or facts[by].type != "date"):
                message = f"{program.id}: version_key {by} is not a date of the fact catalogue; name a date fact"
                yield file.finding((*place, "version_key"), message)
            for v, version in enumerate(program.versions):
                way: Place = (*place, "versions", v)
                yield from check_conditions(file, (*way, "when"), version.when, program.id)
                for part, node in check_conditions.comparisons(version.when):
                    if node.fact in facts and facts[node.fact].group == "supply":
                        message = f"{program.id}: {node.fact} is about the service; move it from `when` to `supply`"
                        yield file.finding((*way, "when", *part), message)
                if version.dispute is not None and version.dispute.other_reading not in blocks:
                    message = (
                        f"{program.id}: there is no block {version.dispute.other_reading}; add it to law/blocks.yaml"
                    )
                    yield file.finding((*way, "dispute", "other_reading"), message)
                for n, fact in enumerate(version.supply):
                    if fact not in facts:
                        yield file.finding((*way, "supply", n), _no_fact(program.id, fact))
                    elif facts[fact].group != "supply":
                        message = f"{program.id}: {fact} is about the person; move it from `supply` to `when`"
                        yield file.finding((*way, "supply", n), message)


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
