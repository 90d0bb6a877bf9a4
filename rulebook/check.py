"""What is wrong with a release as a whole: beside what loading it refuses, a rule that can never apply, a county
without a recipient, two recipients on one day."""

from collections.abc import Iterator
from pathlib import Path

from rulebook.conditions import walk
from rulebook.coverage import uncovered
from rulebook.errors import LawError
from rulebook.loader import Law, load_law, read_files
from rulebook.reach import Reach
from rulebook.release import unsealed
from rulebook.source import Finding, LawFiles, Place


def check(path: Path) -> tuple[str, ...]:
    """All that is wrong with the release in a folder, one line each: file, line, what to write instead."""
    try:
        law = load_law(path)
    except LawError as error:
        return tuple(str(error).splitlines())
    files = read_files(path)
    found = [*_unreachable(files, law), *uncovered(files, law), *_programs_named(files)]
    seal = unsealed(path)
    return (*(str(finding) for finding in found), *((seal,) if seal is not None else ()))


def _unreachable(files: LawFiles, law: Law) -> Iterator[Finding]:
    reach = Reach(
        law.facts,
        {name: block for file in files.blocks for name, block in file.content.blocks.items()},
        {name: value.value for name, value in law.policy.items()},
    )
    yield from _rules(files, reach)
    yield from _branches(files, reach)


def _rules(files: LawFiles, reach: Reach) -> Iterator[Finding]:
    for file in files.duties:
        for number, duty in enumerate(file.content.duties):
            for v, version in enumerate(duty.versions):
                for r, rule in enumerate(version.rules):
                    before = [earlier.when for earlier in version.rules[:r] if earlier.when is not None]
                    if not reach.can_apply(rule.when, before):
                        message = f"{duty.id}: this rule can never apply; correct it, or remove it"
                        yield file.finding(("duties", number, "versions", v, "rules", r), message)


def _branches(files: LawFiles, reach: Reach) -> Iterator[Finding]:
    for file in files.programs:
        for number, program in enumerate(file.content.programs):
            for v, version in enumerate(program.versions):
                for part, node in walk(version.when):
                    if (not part or part[-2] == "any") and "not" not in part and not reach.both(version.when, node):
                        what = "this branch can" if part else "the condition can"
                        message = f"{program.id}: {what} never be true; correct it, or remove it"
                        yield file.finding(("programs", number, "versions", v, "when", *part), message)


def _programs_named(files: LawFiles) -> Iterator[Finding]:
    """Parameters name programs only to be compared with them: nothing is decided by the name."""
    programs = {program.id for file in files.programs for program in file.content.programs}
    for file in files.parameters:
        named: list[tuple[Place, str]] = [
            (("tables", name, "adopted", n), adoption.program)
            for name, table in file.content.tables.items()
            for n, adoption in enumerate(table.adopted)
        ]
        named += [(("percentages", name), spec.program) for name, spec in file.content.percentages.items()]
        for place, program in named:
            if program not in programs:
                yield file.finding(place, f"{place[1]}: there is no program {program}; correct the name")
