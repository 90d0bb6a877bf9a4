"""What is wrong with a release as a whole, beside what loading it refuses: what can never be true, who is told by
nobody, what nothing reads, what nobody sealed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rulebook.conditions import All, Compare, Condition, walk
from rulebook.coverage import uncovered
from rulebook.errors import LawError
from rulebook.loader import Law, load_law, read_files
from rulebook.reach import Reach
from rulebook.release import unsealed
from rulebook.source import Finding, LawFile, LawFiles, Place
from rulebook.unread import unread


def check(path: Path) -> tuple[str, ...]:
    """All that is wrong with the release in a folder, one line each: file, line, what to write instead."""
    try:
        law = load_law(path)
    except LawError as error:
        return tuple(str(error).splitlines())
    files = read_files(path)
    found = [*_unreachable(files, law), *uncovered(files, law), *unread(files, law)]
    seal = unsealed(path)
    return (*(str(finding) for finding in found), *((seal,) if seal is not None else ()))


@dataclass(frozen=True, slots=True)
class _Site:
    """A condition where it stands: read when some others are true, and none of those before it."""

    file: LawFile[Any]
    place: Place
    where: str
    when: Condition
    also: tuple[Condition, ...] = ()
    before: tuple[Condition, ...] = ()


def _unreachable(files: LawFiles, law: Law) -> Iterator[Finding]:
    reach = Reach(
        law.facts,
        {name: block for file in files.blocks for name, block in file.content.blocks.items()},
        {name: value.value for name, value in law.policy.items()},
    )
    for site in (*_shared_sites(files), *_duty_sites(files), *_program_sites(files)):
        true = (site.when, *site.also)
        if not reach.possible(true, site.before):
            message = f"{site.where}: the condition can never be true here; correct it, or remove it"
            yield site.file.finding(site.place, message)
            continue
        for part, node in walk(site.when):
            denied = "not" in part
            alternative = part[-2:-1] in (("any",), ("of",)) or part[-1:] == ("not",)
            if alternative and not (reach.possible([node]) if denied else reach.possible((node, *true), site.before)):
                message = f"{site.where}: this branch can never be true here; correct it, or remove it"
                yield site.file.finding((*site.place, *part), message)


def _shared_sites(files: LawFiles) -> Iterator[_Site]:
    for blocks in files.blocks:
        for name, block in blocks.content.blocks.items():
            yield _Site(blocks, ("blocks", name), f"block {name}", block)
    for file in files.facts:
        for number, derivation in enumerate(file.content.derivations):
            where = f"derivation of {', '.join(derivation.then)}"
            yield _Site(file, ("derivations", number, "when"), where, derivation.when)


def _duty_sites(files: LawFiles) -> Iterator[_Site]:
    for file in files.duties:
        for number, duty in enumerate(file.content.duties):
            for v, version in enumerate(duty.versions):
                before: tuple[Condition, ...] = ()
                for r, rule in enumerate(version.rules):
                    place: Place = ("duties", number, "versions", v, "rules", r)
                    where = f"{duty.id} from {version.effective.from_}, rule {r + 1}"
                    when = rule.when or All(all=())
                    yield _Site(file, place if rule.when is None else (*place, "when"), where, when, before=before)
                    for f, flag in enumerate(rule.flags):
                        if flag.when is not None:
                            way: Place = (*place, "flags", f, "when")
                            yield _Site(file, way, f"{where}, flag {flag.flag}", flag.when, (when,), before)
                    before = (*before, when)


def _program_sites(files: LawFiles) -> Iterator[_Site]:
    for file in files.programs:
        for number, program in enumerate(file.content.programs):
            least = program.victim_status_min
            also = (Compare(fact="victim_status", gte=least),) if least != "none" else ()
            for v, version in enumerate(program.versions):
                yield _Site(file, ("programs", number, "versions", v, "when"), program.id, version.when, also)
