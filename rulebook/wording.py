"""Comparisons and values as a lawyer would say them: the law files and the stored reasons have codes."""

from typing import Any

_OPERATORS = {
    "eq": "is",
    "ne": "is not",
    "lt": "less than",
    "lte": "at most",
    "gt": "more than",
    "gte": "at least",
    "in": "is one of",
    "not_in": "is none of",
    "is": "is",
    "between": "between",
}


def compared(fact: str, operator: str, threshold: Any) -> str:
    """A comparison as a reason tells it."""
    if operator == "version_in_force":
        return f"{fact} on a day on which a version of the rule was in force"
    if operator in ("within_months", "within_days"):
        return f"{fact} at most {threshold} {operator.removeprefix('within_')} ago"
    if isinstance(threshold, dict) and "age_on" in threshold:
        on = "on the day asked about" if threshold["age_on"] == "as_of" else f"on {threshold['age_on']}"
        return f"age {on} by {fact} {_OPERATORS[operator]} {_threshold(fact, operator, threshold[operator])}"
    if operator == "in" and len(threshold) == 1:
        operator = "eq"
    return f"{fact} {_OPERATORS[operator]} {_threshold(fact, operator, threshold)}"


def said(fact: str, value: Any) -> str:
    """A value as a reason tells it, or the possibilities that are left; of a comparison on two facts, both."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and fact.endswith("_cents"):
        return f"${value / 100:,.2f}"
    if not isinstance(value, dict):
        return str(value)
    if "one_of" in value:
        return " or ".join(value["one_of"])
    if value.keys() == {"from", "to"}:
        low, high = (None if value[end] is None else said(fact, value[end]) for end in ("from", "to"))
        if low is None or high is None:
            return f"at most {high}" if low is None else f"{low} or more"
        return f"{low} to {high}"
    return ", ".join(f"{one} {said(one, of_it)}" for one, of_it in value.items())


def _threshold(fact: str, operator: str, threshold: Any) -> str:
    if isinstance(threshold, dict):
        return _of_table(threshold)
    if isinstance(threshold, list):
        return (" and " if operator == "between" else ", ").join(said(fact, one) for one in threshold)
    return said(fact, threshold)


def _of_table(amount: dict[str, Any]) -> str:
    """A percentage of a table for the household; what was not seen in a primary source says so here, too."""
    month = ", by the month" if amount.get("per") == "month" else ""
    seen = "" if amount["verified"] else ", amounts not verified"
    share = "" if amount["percent"] == "100" else f"{amount['percent']} % of "
    return f"{share}{amount['table']} for {amount['of']}{month}{seen}"
