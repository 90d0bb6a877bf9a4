"""When a legal clock runs out: hours to the minute, days and business days to the end of the last local day."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from rulebook.conditions import Node
from rulebook.schema import Cited, Clock, Id, Line

if TYPE_CHECKING:
    from rulebook.loader import Law

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Holiday(Node):
    """A fixed day, or the nth weekday of a month (-1: the last)."""

    name: Line
    month: int = Field(ge=1, le=12)
    day: int | None = Field(default=None, ge=1, le=31)
    weekday: Weekday | None = None
    nth: int | None = Field(default=None, ge=-1, le=4)
    from_year: int = 0

    @model_validator(mode="after")
    def _one_way(self) -> "Holiday":
        if (self.day is None) != (self.weekday is not None and self.nth is not None and self.nth != 0):
            raise ValueError("write either day, or weekday and nth (1 to 4, or -1 for the last)")
        if self.day is not None and self.day > monthrange(_NO_LEAP_YEAR, self.month)[1]:
            raise ValueError("write a day that the month has in every year")
        return self


class Calendar(Node):
    cite: Cited
    observed: Literal["nearest_weekday", "as_dated"]
    """Where a fixed day falls on a weekend: Saturday is observed on Friday and Sunday on Monday, or not at all."""
    holidays: tuple[Holiday, ...] = Field(strict=False, min_length=1)


class CalendarsFile(Node):
    calendars: dict[Id, Calendar]


_NO_LEAP_YEAR = 2001
_WEEKDAYS = get_args(Weekday)
_SATURDAY = 5


def due_at(clock: Clock, started: datetime, law: "Law", jurisdiction: str) -> datetime | None:
    """End of the clock that started then; None if the law gives no number. Days are local to the jurisdiction."""
    calendar = law.calendars[clock.calendar] if clock.calendar else None
    return deadline(clock, started, ZoneInfo(law.jurisdictions[jurisdiction].time_zone), calendar)


def deadline(clock: Clock, started: datetime, zone: ZoneInfo, calendar: Calendar | None) -> datetime | None:
    """The day on which a clock starts does not count; the last one counts whole, to midnight in `zone`."""
    if clock.limit is None:
        return None
    if clock.kind == "hours":
        return started + timedelta(hours=clock.limit)
    day = started.astimezone(zone).date()
    if clock.kind == "days":
        day += timedelta(days=clock.limit)
    else:
        day = _business_days_later(day, clock.limit, calendar)
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)


def _business_days_later(day: date, count: int, calendar: Calendar | None) -> date:
    while count:
        day += timedelta(days=1)
        if is_business_day(day, calendar):
            count -= 1
    return day


def is_business_day(day: date, calendar: Calendar | None) -> bool:
    return day.weekday() < _SATURDAY and (calendar is None or day not in holidays(calendar, day.year))


@lru_cache(maxsize=256)
def holidays(calendar: Calendar, year: int) -> frozenset[date]:
    """The days of a year on which holidays are observed, next New Year's Day observed on 31 December among them."""
    found = {day for near in (year, year + 1) for day in _observed(calendar, near)}
    return frozenset(day for day in found if day.year == year)


def _observed(calendar: Calendar, year: int) -> Iterator[date]:
    for holiday in calendar.holidays:
        if year < holiday.from_year:
            continue
        day = _day_of(holiday, year)
        shift = {_SATURDAY: -1, _SATURDAY + 1: 1}.get(day.weekday(), 0) if calendar.observed == "nearest_weekday" else 0
        yield day + timedelta(days=shift)


def _day_of(holiday: Holiday, year: int) -> date:
    if holiday.day is not None:
        return date(year, holiday.month, holiday.day)
    wanted = _WEEKDAYS.index(holiday.weekday)
    last = monthrange(year, holiday.month)[1]
    days = [day for day in (date(year, holiday.month, d) for d in range(1, last + 1)) if day.weekday() == wanted]
    return days[-1 if holiday.nth == -1 else (holiday.nth or 1) - 1]
