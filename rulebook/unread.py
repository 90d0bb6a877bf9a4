"""Parameters that nothing reads: an amount that no condition compares with decides nothing, and nobody would notice."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rulebook.conditions import Condition, TableAmount
from rulebook.fitting import ConditionCheck
from rulebook.loader import Law
from rulebook.parameters import PercentSpec
from rulebook.schema import Program
from rulebook.source import Finding, LawFiles, Place


def unread(files: LawFiles, law: Law) -> Iterator[Finding]:
    """Tables, percentages and days of adoption, and the names of programs with them."""
    conditions = ConditionCheck(files)
    everywhere = [leaf for condition in _all(files) for _, leaf in conditions.comparisons(condition)]
    amounts = [leaf.threshold for leaf in everywhere if isinstance(leaf.threshold, TableAmount)]
    tables = {amount.table for amount in amounts}
    taken = {(amount.table, amount.taken_by) for amount in amounts}
    programs = {program.spec.id: program.spec for program in law.programs}
    for file in files.parameters:
        for name, table in file.content.tables.items():
            if name not in tables:
                message = f"{name}: no condition reads this table; compare with it, or remove it"
                yield file.finding(("tables", name), message)
            for n, adoption in enumerate(table.adopted):
                place: Place = ("tables", name, "adopted", n)
                if adoption.program not in programs:
                    yield file.finding(place, _no_program(name, adoption.program))
                elif (name, adoption.program) not in taken:
                    message = f"{name}: no condition has taken_by: {adoption.program}; write it there, or remove this"
                    yield file.finding(place, message)
        for name, percentage in file.content.percentages.items():
            program = programs.get(percentage.program)
            if program is None:
                yield file.finding(("percentages", name), _no_program(name, percentage.program))
                continue
            for v, wanted in _not_compared(percentage, program, conditions):
                what = f"{percentage.fact} with {wanted} % of {percentage.of or 'anything'}"
                message = f"{name}: no condition of {program.id} compares {what}; correct one, or remove this"
                yield file.finding(("percentages", name, "versions", v), message)


def _not_compared(spec: PercentSpec, program: Program, conditions: ConditionCheck) -> Iterator[tuple[int, str]]:
    """Versions of a percentage that some version of the program, in force at the same time, does not compare with."""
    for v, version in enumerate(spec.versions):
        for rule in program.versions:
            if not (version.effective.holds(rule.effective.from_) or rule.effective.holds(version.effective.from_)):
                continue
            limits = {_limit(leaf.threshold) for _, leaf in conditions.comparisons(rule.when) if leaf.fact == spec.fact}
            if (spec.of, Decimal(version.percent)) not in limits:
                yield v, version.percent
                break


def _limit(threshold: Any) -> tuple[str | None, Decimal | None]:
    if isinstance(threshold, TableAmount):
        return threshold.table, Decimal(threshold.percent)
    plain = isinstance(threshold, int | str) and not isinstance(threshold, bool)
    try:
        return None, Decimal(threshold) if plain else None
    except ArithmeticError:
        return None, None


def _all(files: LawFiles) -> Iterator[Condition]:
    for blocks in files.blocks:
        yield from blocks.content.blocks.values()
    for facts in files.facts:
        yield from (derivation.when for derivation in facts.content.derivations)
    for programs in files.programs:
        yield from (version.when for program in programs.content.programs for version in program.versions)
    for duties in files.duties:
        for rule in (rule for duty in duties.content.duties for version in duty.versions for rule in version.rules):
            yield from (when for when in (rule.when, *(flag.when for flag in rule.flags)) if when is not None)


def _no_program(name: str, program: str) -> str:
    return f"{name}: there is no program {program}; correct the name"
