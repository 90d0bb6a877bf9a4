"""Ages and dates as the law counts them. What would be after the last day that there is, or before the first, is that
day: no date makes a calculation fail."""

from calendar import isleap, monthrange
from datetime import MAXYEAR, MINYEAR, date


def plus_days(day: date, days: int) -> date:
    """So many days later."""
    return date.fromordinal(min(max(day.toordinal() + days, date.min.toordinal()), date.max.toordinal()))


def plus_months(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not MINYEAR <= year <= MAXYEAR:
        return date.min if year < MINYEAR else date.max
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def age_on(day: date, born: date) -> int:
    """Completed years. Somebody born on 29 February completes a year on 1 March in other years."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def birthday(born: date, years: int) -> date:
    """The day on which `years` are completed."""
    year = born.year + years
    if year > MAXYEAR:
        return date.max
    return date(year, 3, 1) if (born.month, born.day) == (2, 29) and not isleap(year) else born.replace(year=year)
