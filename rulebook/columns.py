"""The evaluator for many persons at once, in numpy columns: for re-runs of a whole population.

A truth is one byte, with the two bits of `rulebook.kleene`: what can be true, and what must be. It answers what the
walker answers; a property test holds both equal.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rulebook.compiled import CompiledDerivation, CompiledDuty, CompiledProgram
from rulebook.contradictions import contradictable
from rulebook.encoding import (
    OPEN_HIGH,
    OPEN_LOW,
    Bounds,
    Column,
    Columns,
    Masks,
    Numbers,
    mask_of,
    members_of,
    nothing_known,
    number_of,
    pair,
)
from rulebook.generated import engine
from rulebook.kleene import NEGATED, Truth
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf, WithinLeaf
from rulebook.schema import FactSpec
from rulebook.trees import AllTree, AnyTree, AtLeastTree, NotTree, Tree
from rulebook.values import Value

if TYPE_CHECKING:
    from rulebook.loader import Law

Codes = NDArray[np.uint8]

_FEW = 24
"""People in a household, as households are."""
_EPOCH = date(1970, 1, 1).toordinal()
_TOLD_BOTH = 0b10
"""Told to be true and to be false: the fourth value of Belnap's, in which contradictions are followed."""
_NEGATED: Codes = np.array([*NEGATED[:_TOLD_BOTH], _TOLD_BOTH, *NEGATED[_TOLD_BOTH + 1 :]], dtype=np.uint8)


def derive(columns: Columns, derivations: Iterable[CompiledDerivation], law: "Law", as_of: date) -> Columns:
    """Adds what follows from the facts, in the order of the derivations, as `rulebook.values.concluded` does."""
    facts = dict(columns.facts)
    steps = tuple(derivations)
    may_be = contradictable(steps, law.facts).keys()
    for derivation in steps:
        step = Columns(columns.rows, facts)
        truths = evaluate([derivation.when], step, law.facts, as_of)
        holds = truths[derivation.when.index] == Truth.TRUE
        contests = None if derivation.presumption else _hanging_on_contradictions(derivation.when, truths, step, may_be)
        for fact, value in derivation.then:
            spec = law.facts[fact]
            column = facts[fact] if fact in facts else nothing_known(spec, columns.rows)
            facts[fact] = _concluded(column, holds, value, spec, record_stays=derivation.presumption)
            if contests is not None:
                facts[fact] = _contested(facts[fact], contests, value, spec)
    return Columns(columns.rows, facts)


def outcomes(columns: Columns, law: "Law", jurisdiction: str, as_of: date) -> dict[str, Codes]:
    """The truth of each program for each person on a day, presumptions apart: see `rulebook.programs`."""
    certain = [derivation for derivation in law.derivations if not derivation.presumption]
    return _outcomes(columns, law, jurisdiction, as_of, certain, disputes=False)


DISPUTED = 0b10
"""Beside the codes of `rulebook.kleene.Truth`: the two readings of a rule before a court come out differently."""


def answers(columns: Columns, law: "Law", jurisdiction: str, as_of: date, *, presume: bool = False) -> dict[str, Codes]:
    """As `outcomes`, with DISPUTED where it is, and with what the law presumes taken for known if wanted."""
    derivations = [derivation for derivation in law.derivations if presume or not derivation.presumption]
    return _outcomes(columns, law, jurisdiction, as_of, derivations, disputes=not presume)


def _outcomes(
    columns: Columns,
    law: "Law",
    jurisdiction: str,
    as_of: date,
    derivations: Sequence[CompiledDerivation],
    *,
    disputes: bool,
) -> dict[str, Codes]:
    plan = engine(law).plan(jurisdiction)
    trees = [tree for program in plan.programs for tree in _asked(program, as_of, disputes=disputes)]
    found: dict[str, list[Codes]] = {program.spec.id: [] for program in plan.programs}
    for part in columns.parts():
        derived = derive(part, derivations, law, as_of)
        truths = evaluate(trees, derived, law.facts, as_of)
        for program in plan.programs:
            codes = _program(program, derived, truths, as_of)
            other = _other_reading(program, as_of) if disputes else None
            if other is not None:
                codes = np.where(codes == truths[other.index], codes, np.uint8(DISPUTED))
            found[program.spec.id].append(codes)
    return {name: np.concatenate(codes) if codes else np.empty(0, np.uint8) for name, codes in found.items()}


def rules(columns: Columns, law: "Law", jurisdiction: str, on: date) -> dict[str, NDArray[np.int8]]:
    """The position of the rule that decides each duty for each person; -1 where no version is in force."""
    plan = engine(law).plan(jurisdiction)
    found: dict[str, list[NDArray[np.int8]]] = {duty.spec.id: [] for duty in plan.duties}
    for part in columns.parts():
        derived = derive(part, law.derivations, law, on)
        for duty in plan.duties:
            found[duty.spec.id].append(_rule(duty, derived, law, on))
    return {name: np.concatenate(one) if one else np.empty(0, np.int8) for name, one in found.items()}


def fired(duty: CompiledDuty, columns: Columns, law: "Law", on: date) -> tuple[NDArray[np.int8], Masks]:
    """The position of the rule that decides a duty that is in force, and the bits of those of its flags that hold."""
    derived = derive(columns, law.derivations, law, on)
    positions = _rule(duty, derived, law, on)
    flags = np.zeros(columns.rows, np.uint64)
    version = duty.version_on(on)
    for position, rule in enumerate(version.rules if version else ()):
        truths = evaluate((when for _, when in rule.flags), derived, law.facts, on)
        for bit, (_, when) in enumerate(rule.flags):
            flags |= ((truths[when.index] == Truth.TRUE) & (positions == position)).astype(np.uint64) << np.uint64(bit)
    return positions, flags


def evaluate(
    trees: Iterable[Tree], columns: Columns, catalogue: Mapping[str, FactSpec], as_of: date
) -> dict[int, Codes]:
    """The truths of these trees and all their parts, by index."""
    parts = {part.index: part for tree in trees for part in tree.parts()}
    truths: dict[int, Codes] = {}
    for index in sorted(parts):
        part = parts[index]
        truths[index] = (
            _leaf(part, columns, catalogue, as_of) if isinstance(part, Leaf) else _combined(part, truths, columns.rows)
        )
    return truths


def _combined(part: Tree, truths: Mapping[int, Codes], rows: int) -> Codes:
    codes = [truths[child.index] for child in part.children]
    match part:
        case AllTree():
            return reduce(np.bitwise_and, codes) if codes else np.full(rows, Truth.TRUE, np.uint8)
        case AnyTree():
            return reduce(np.bitwise_or, codes) if codes else np.full(rows, Truth.FALSE, np.uint8)
        case NotTree():
            return _NEGATED[codes[0]]
        case AtLeastTree(count=wanted):
            surely = reduce(np.add, [code >> 1 for code in codes])
            possibly = reduce(np.add, [code & 1 for code in codes])
            return _code(possibly >= wanted, surely >= wanted)
    raise AssertionError(type(part))


def _code(possibly: NDArray[np.bool_], surely: NDArray[np.bool_]) -> Codes:
    """What must be true can be."""
    code: Codes = possibly.view(np.uint8) | (surely.view(np.uint8) << np.uint8(1))
    return code


def _leaf(leaf: Leaf, columns: Columns, catalogue: Mapping[str, FactSpec], as_of: date) -> Codes:
    column = columns.facts.get(leaf.fact)
    if isinstance(leaf, TableLeaf):
        return _table(leaf, columns, as_of)
    if isinstance(leaf, AgeLeaf):
        return _compare(_ages(leaf, columns, as_of), leaf.operator, leaf.threshold)
    if column is None:
        return np.full(columns.rows, Truth.UNKNOWN, np.uint8)
    if isinstance(column, tuple):
        if isinstance(leaf, WithinLeaf):
            return _compare(column, "gte", _first_day(leaf, as_of))
        threshold = leaf.threshold
        spec = catalogue[leaf.fact]
        number = (
            tuple(number_of(one, spec) for one in threshold)
            if isinstance(threshold, tuple)
            else number_of(threshold, spec)
        )
        return _compare(column, leaf.operator, number)
    members: tuple[Any, ...] = members_of(leaf.spec)
    yes = sum(1 << position for position, member in enumerate(members) if leaf.of(member) == Truth.TRUE)
    no = ((1 << len(members)) - 1) & ~yes
    is_one, is_other = (column & np.uint64(yes)) != 0, (column & np.uint64(no)) != 0
    return _code(is_one | ~is_other, is_one & ~is_other)


def _compare(bounds: Bounds, operator: str, threshold: Any) -> Codes:
    low, high = bounds
    if operator in ("gte", "lt"):
        above, below = low >= threshold, high < threshold
        return _code(~below, above) if operator == "gte" else _code(~above, below)
    if operator in ("gt", "lte"):
        above, below = low > threshold, high <= threshold
        return _code(~below, above) if operator == "gt" else _code(~above, below)
    wanted = threshold if isinstance(threshold, tuple) else (threshold,)
    inside = reduce(np.logical_or, ((low <= one) & (one <= high) for one in wanted))
    code = _code(inside, inside & (low == high))
    return code if operator in ("eq", "in") else _NEGATED[code]


def _first_day(leaf: WithinLeaf, as_of: date) -> int:
    """The earliest date that still counts: later ones end later, so one threshold does for all."""
    start = as_of.toordinal() - (31 * leaf.threshold if leaf.operator == "within_months" else leaf.threshold) - 4
    low: int = max(start, 1)
    high = as_of.toordinal()
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if leaf.last_day(date.fromordinal(middle)) >= as_of else (middle + 1, high)
    return low


def _ages(leaf: AgeLeaf, columns: Columns, as_of: date) -> Bounds:
    first_born, last_born = _bounds(columns, leaf.fact)
    if leaf.on == "as_of" or isinstance(leaf.on, date):
        day = as_of if leaf.on == "as_of" else leaf.on
        first = last = np.full(columns.rows, day.toordinal(), np.int64)
    else:
        first, last = _bounds(columns, leaf.on)
    low = np.where((first == OPEN_LOW) | (last_born == OPEN_HIGH), OPEN_LOW, ages(first, last_born))
    high = np.where((last == OPEN_HIGH) | (first_born == OPEN_LOW), OPEN_HIGH, ages(last, first_born))
    return low, high


def ages(day: Numbers, born: Numbers) -> Numbers:
    year, within = _year_and_day(day)
    birth_year, birth_within = _year_and_day(born)
    return year - birth_year - (within < birth_within)


def _year_and_day(ordinals: Numbers) -> tuple[Numbers, Numbers]:
    """The year, and a number that grows within it from day to day."""
    safe = np.where(np.abs(ordinals) > 4_000_000, _EPOCH, ordinals)
    days = (safe - _EPOCH).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    month = months.astype(np.int64)
    return month // 12 + 1970, month % 12 * 32 + (days - months.astype("datetime64[D]")).astype(np.int64)


def _table(leaf: TableLeaf, columns: Columns, as_of: date) -> Codes:
    low, high = _bounds(columns, leaf.fact)
    fewest, most = _bounds(columns, leaf.lookup.of)
    if leaf.lookup.cents(1, as_of) is None:
        return np.full(columns.rows, Truth.UNKNOWN, np.uint8)
    least = _amounts(fewest, lambda size: leaf.lookup.least(size, as_of), OPEN_LOW)
    of_any = leaf.lookup.cents(None, as_of)
    highest = OPEN_HIGH if of_any is None else of_any
    greatest = _amounts(most, lambda size: leaf.lookup.cents(size, as_of), highest)
    if leaf.operator in ("lte", "gt"):
        below, above = high <= least, low > greatest
    else:
        below, above = high < least, low >= greatest
    return _code(~above, below) if leaf.operator in ("lt", "lte") else _code(~below, above)


def _amounts(sizes: Numbers, amount: Callable[[int], int | None], nothing: int) -> Numbers:
    """The amount of each size, looked up once for each that occurs."""
    counted = np.maximum(sizes, 1)
    few = counted <= _FEW
    if (few | (counted == OPEN_HIGH)).all():
        # No sorting for households as they are: the place in the list is the size, and 0 is nothing known.
        each = [None, *map(amount, range(1, _FEW + 1))]
        where = np.where(few, counted, 0)
    else:
        distinct, where = np.unique(counted, return_inverse=True)
        each = [None if size == OPEN_HIGH else amount(int(size)) for size in distinct]
    return np.array([nothing if one is None else one for one in each], np.int64)[where]


def _bounds(columns: Columns, fact: str) -> Bounds:
    column = columns.facts.get(fact)
    if isinstance(column, tuple):
        return column
    return np.full(columns.rows, OPEN_LOW, np.int64), np.full(columns.rows, OPEN_HIGH, np.int64)


def _concluded(column: Column, holds: NDArray[np.bool_], value: Value, spec: FactSpec, *, record_stays: bool) -> Column:
    if isinstance(column, tuple):
        fill = holds & (column[0] == OPEN_LOW) & (column[1] == OPEN_HIGH)
        low, high = pair(value, spec)
        return np.where(fill, low, column[0]), np.where(fill, high, column[1])
    mask = mask_of(spec)
    bits = np.uint64(mask(value))
    return np.where(holds & (column == mask(None)) if record_stays else holds, column & bits, column)


def _contested(column: Column, contests: NDArray[np.bool_], value: Value, spec: FactSpec) -> Column:
    """As `rulebook.values.contested`."""
    assert not isinstance(column, tuple), "rules conclude members of enumerations"
    fits = (column & ~np.uint64(mask_of(spec)(value))) == 0
    return np.where(contests & ~fits, np.uint64(0), column)


def _hanging_on_contradictions(
    when: Tree, truths: Mapping[int, Codes], columns: Columns, may_be: Set[str]
) -> NDArray[np.bool_] | None:
    """For whom an open condition would hold by one side of contradictions, as `rulebook.contradictions.hangs_on`; None
    if for nobody."""
    of_facts = {}
    for fact in sorted({fact for leaf in when.leaves() for fact in leaf.facts} & may_be):
        column = columns.facts.get(fact)
        if column is not None and not isinstance(column, tuple) and not column.all():
            of_facts[fact] = column == 0
    if not of_facts:
        return None
    told: dict[int, Codes] = {}
    for part in sorted({part.index: part for part in when.parts()}.values(), key=lambda part: part.index):
        if isinstance(part, Leaf):
            both = of_facts.get(part.fact)
            own = truths[part.index]
            told[part.index] = own if both is None else np.where(both, np.uint8(_TOLD_BOTH), own)
        else:
            told[part.index] = _combined(part, told, columns.rows)
    hangs: NDArray[np.bool_] = (truths[when.index] == Truth.UNKNOWN) & (told[when.index] >= _TOLD_BOTH)
    return hangs


def _asked(program: CompiledProgram, as_of: date, *, disputes: bool) -> Iterator[Tree]:
    if program.by_key is not None:
        yield from (program.by_key.yes, program.by_key.no)
        return
    version = program.version_on(as_of)
    if version is not None:
        yield version.when
        if disputes and version.other_reading is not None:
            yield version.other_reading


def _other_reading(program: CompiledProgram, as_of: date) -> Tree | None:
    version = None if program.by_key is not None else program.version_on(as_of)
    return None if version is None else version.other_reading


def _program(program: CompiledProgram, columns: Columns, truths: Mapping[int, Codes], as_of: date) -> Codes:
    if program.by_key is None:
        version = program.version_on(as_of)
        return np.full(columns.rows, Truth.FALSE, np.uint8) if version is None else truths[version.when.index]
    surely_not = truths[program.by_key.no.index] == Truth.TRUE
    return _code(~surely_not, truths[program.by_key.yes.index] == Truth.TRUE)


def _rule(duty: CompiledDuty, columns: Columns, law: "Law", on: date) -> NDArray[np.int8]:
    version = duty.version_on(on)
    found = np.full(columns.rows, -1, np.int8)
    if version is not None:
        truths = evaluate((rule.when for rule in version.rules), columns, law.facts, on)
        for position, rule in reversed(list(enumerate(version.rules))):
            found[truths[rule.when.index] == Truth.TRUE] = position
    return found
