"""The comparisons at the ends of conditions: of one fact's possibilities with a threshold, a day, or a table."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from rulebook.dates import age_on, birthday, plus_days, plus_months
from rulebook.kleene import Truth
from rulebook.schema import FactSpec
from rulebook.tables import HOUSEHOLDS, Lookup, size_bounds
from rulebook.trees import Evaluation, Tree
from rulebook.values import Among, FactMap, Interval, Value, holds_for, plain


class Leaf(Tree):
    """One fact against a fixed threshold."""

    __slots__ = ("fact", "facts", "operator", "shown", "sort_key", "spec", "test", "threshold")

    def __init__(
        self,
        index: int,
        fact: str,
        spec: FactSpec,
        operator: str,
        threshold: Any,
        test: Callable[[Any], bool],
        also: str | None = None,
    ) -> None:
        super().__init__(index)
        self.fact = fact
        self.facts: tuple[str, ...] = (fact,) if also is None else (fact, also)
        """What it depends on: its fact, and a second one for an age on a day or a table by size."""
        self.spec = spec
        self.operator = operator
        self.threshold = threshold
        self.test = test
        self.shown = [plain(item) for item in threshold] if isinstance(threshold, tuple) else plain(threshold)
        self.sort_key = (fact, operator, str(self.shown))

    def code(self, facts: FactMap, as_of: date) -> Truth:
        """Kleene truth for what is known; never depends on what else is asked."""
        value = facts.get(self.fact)
        return Truth.UNKNOWN if value is None else self.of(value)

    def of(self, value: Value) -> Truth:
        return holds_for(value, self.test, self.operator, self.threshold)

    def changes(self, facts: FactMap, as_of: date) -> Iterator[date]:
        """Later days on which the answer may change by itself."""
        return iter(())

    def shown_value(self, facts: FactMap) -> Any:
        value = facts.get(self.fact)
        return None if value is None else plain(value)

    def _truth(self, on: Evaluation) -> Truth:
        return self.code(on.facts, on.as_of)

    def deciding(self, on: Evaluation) -> Iterator["Leaf"]:
        yield self

    def leaves(self) -> Iterator["Leaf"]:
        yield self


class WithinLeaf(Leaf):
    """`within_months` and `within_days`: true up to and including the last day of the time that a date starts."""

    __slots__ = ()

    def last_day(self, day: date) -> date:
        if self.operator == "within_months":
            return plus_months(day, self.threshold)
        return plus_days(day, self.threshold)

    def code(self, facts: FactMap, as_of: date) -> Truth:
        first, last = days_of(facts.get(self.fact))
        if first is not None and as_of <= self.last_day(first):
            return Truth.TRUE
        return Truth.FALSE if last is not None and self.last_day(last) < as_of else Truth.UNKNOWN

    def changes(self, facts: FactMap, as_of: date) -> Iterator[date]:
        for day in days_of(facts.get(self.fact)):
            if day is not None:
                yield plus_days(self.last_day(day), 1)


class AgeLeaf(Leaf):
    """The age that a birth date gives on the day asked about, on a fixed day, or on the day that another fact names."""

    __slots__ = ("on",)

    def __init__(
        self, index: int, fact: str, spec: FactSpec, operator: str, threshold: Any, test: Callable[[Any], bool], on: Any
    ) -> None:
        super().__init__(
            index, fact, spec, operator, threshold, test, on if isinstance(on, str) and on != "as_of" else None
        )
        self.on = on
        self.shown = {"age_on": plain(on), operator: self.shown}
        self.sort_key = (fact, operator, str(self.shown))

    def days(self, facts: FactMap, as_of: date) -> tuple[date | None, date | None]:
        if self.on == "as_of":
            return as_of, as_of
        return days_of(facts.get(self.on)) if isinstance(self.on, str) else (self.on, self.on)

    def code(self, facts: FactMap, as_of: date) -> Truth:
        first_born, last_born = days_of(facts.get(self.fact))
        first, last = self.days(facts, as_of)
        low = None if first is None or last_born is None else age_on(first, last_born)
        high = None if last is None or first_born is None else age_on(last, first_born)
        if low is None and high is None:
            return Truth.UNKNOWN
        return self.of(Interval(low, high))

    def changes(self, facts: FactMap, as_of: date) -> Iterator[date]:
        if self.on != "as_of":
            return
        listed = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
        for born in days_of(facts.get(self.fact)):
            if born is not None:
                yield from (birthday(born, years) for age in listed for years in (age, age + 1))


class TableLeaf(Leaf):
    """An amount in cents against a table's amount for the household, which may itself be partly known."""

    __slots__ = ("lookup",)

    def __init__(self, index: int, fact: str, spec: FactSpec, operator: str, lookup: Lookup) -> None:
        super().__init__(index, fact, spec, operator, None, bool, lookup.of)
        self.lookup = lookup
        self.shown = lookup.shown()
        self.sort_key = (fact, operator, str(self.shown))

    def code(self, facts: FactMap, as_of: date) -> Truth:
        value = facts.get(self.fact)
        if value is None:
            return Truth.UNKNOWN
        least, greatest = self.lookup.bounds(facts.get(self.lookup.of), as_of)
        if least is None:
            return Truth.UNKNOWN
        low, high = numbers_of(value)
        if self.operator in ("lte", "gt"):
            below = high is not None and high <= least
            above = low is not None and greatest is not None and low > greatest
        else:
            below = high is not None and high < least
            above = low is not None and greatest is not None and low >= greatest
        if below == above:
            return Truth.UNKNOWN
        return Truth.TRUE if below is (self.operator in ("lt", "lte")) else Truth.FALSE

    def alone(self, facts: FactMap, as_of: date) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
        """Whether knowing the amount, and knowing the household's size, could settle it alone: to true, and to false.

        The other one stays as known as it is. Households of up to `HOUSEHOLDS` people are thought of.
        """
        size = facts.get(self.lookup.of)
        least, greatest = self.lookup.bounds(size, as_of)
        low, high = numbers_of(facts.get(self.fact))
        fewest, most = size_bounds(size)
        smallest = self.lookup.cents(fewest, as_of)
        largest = self.lookup.least(max(fewest, HOUSEHOLDS) if most is None else most, as_of)
        includes = self.operator in ("lte", "gt")

        def under(amount: int | None, limit: int | None) -> bool:
            return amount is not None and limit is not None and (amount <= limit if includes else amount < limit)

        def over(amount: int | None, limit: int | None) -> bool:
            return amount is not None and limit is not None and not under(amount, limit)

        above = greatest is not None and (high is None or over(high, greatest))
        by_amount = under(0 if low is None else low, least), above
        by_size = under(high, largest), over(low, smallest)
        if self.operator in ("gt", "gte"):
            return by_amount[::-1], by_size[::-1]
        return by_amount, by_size

    def changes(self, facts: FactMap, as_of: date) -> Iterator[date]:
        day = self.lookup.table.changes_after(as_of)
        if day is not None:
            yield day

    def shown_value(self, facts: FactMap) -> Any:
        known = {fact: facts[fact] for fact in self.facts if fact in facts}
        return {fact: plain(value) for fact, value in known.items()} or None


def days_of(value: Value | None) -> tuple[date | None, date | None]:
    """The first and the last day that a date may be."""
    if isinstance(value, Interval):
        low, high = value.low, value.high
        return low if isinstance(low, date) else None, high if isinstance(high, date) else None
    return (value, value) if isinstance(value, date) else (None, None)


def numbers_of(value: Value | None) -> tuple[Any, Any]:
    """The least and the greatest number that a value may be."""
    if isinstance(value, Interval):
        return value.low, value.high
    return (None, None) if value is None or isinstance(value, Among) else (value, value)
