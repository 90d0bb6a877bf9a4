"""What a person reads at the end of the main job: one table per encounter, and where to look further."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from launcher.examples import Answered, Case, Preview
from launcher.history import NoticeState

_STYLES = {"due": "green", "review": "yellow", "not_due": "dim"}


def show_case(console: Console, case: Case, expected: Preview, about: str, steps: int) -> None:
    """Obligations and why, who was told and how long after acceptance, who acknowledged, determinations, entries."""
    history = case.history
    table = Table(
        title=f"{case.example.name}  ·  encounter {case.encounter_id}",
        title_style="bold",
        title_justify="left",
    )
    for column in ("subject", "duty", "outcome", "why", "told", "after", "answer"):
        table.add_column(column, justify="right" if column == "after" else "left", overflow="fold")
    if about:
        console.print(about, style="italic", highlight=False)
    for (number, duty_id), duty in sorted(case.duties.items()):
        subject_id = history.subjects.get(number, "")
        noticed = (subject_id, duty_id) in history.duties
        if not noticed and not is_open_task(duty):
            continue
        rows = [_told(case, notice) for notice in history.notices_of(subject_id, duty_id)]
        for place, row in enumerate(rows or [("nobody", "", "") if noticed else _task(duty)]):
            first = place == 0
            table.add_row(
                str(number) if first else "",
                duty_id if first else "",
                f"[{_STYLES[duty['outcome']]}]{duty['outcome'].replace('_', ' ')}[/]" if first else "",
                ", ".join(duty["because"]) if first else "",
                *row,
            )
    console.print(table)
    for line in _footer(case, expected, steps):
        console.print(line, highlight=False)
    console.print()


def is_open_task(duty: Answered) -> bool:
    """Somebody has to do it, and no notice does."""
    return bool(duty["state"] == "open" and (duty["channel"] == "task" or duty["owed_by"] != "reporting_agency"))


def _task(duty: Answered) -> tuple[str, str, str]:
    return f"{duty['recipient_id']}, by the {duty['owner'].replace('_', ' ')}", "", "open task"


def _told(case: Case, notice: NoticeState) -> tuple[str, str, str]:
    what = notice.recipient_id + ("" if notice.kind == "notice" else f" ({notice.kind})")
    if notice.retired is not None:
        what += f", {notice.retired.replace('_', ' ')}"
    accepted = case.history.accepted_before(notice)
    if notice.confirmed_at is None or accepted is None:
        return what, "not yet" if notice.retired is None else "", ""
    milliseconds = (notice.confirmed_at - accepted).total_seconds() * 1000
    return what, f"{milliseconds:,.0f} ms", notice.acknowledged or "not yet"


def _footer(case: Case, expected: Preview, steps: int) -> list[str]:
    lines = [_others(case)]
    for number, determination in sorted(expected.determinations.items()):
        made = len(case.history.determined.get(case.history.subjects.get(number, ""), ()))
        outcomes: Mapping[str, int] = Counter(answer.outcome for answer in determination.programs)
        counted = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(outcomes.items()))
        lines.append(f"subject {number}: {made} determination{'s' if made != 1 else ''}; now {counted}")
    lines.append(f"trail: {case.history.entries} entries, {steps} of them in the lineage that the auditor read")
    return lines


def _others(case: Case) -> str:
    """The duties that the table leaves out: nothing follows from them now."""
    shown = {
        (number, duty) for number, id_ in case.history.subjects.items() for s, duty in case.history.duties if s == id_
    }
    left = [one for place, one in case.duties.items() if place not in shown and not is_open_task(one)]
    counts = Counter(one["outcome"] for one in left)
    return (
        f"{counts['not_due']} more duties are not due, {counts['review']} wait for facts that nobody reported yet: "
        f"GET /v1/encounters/{case.encounter_id}/obligations of the router says why"
    )


def show_urls(console: Console, urls: Mapping[str, str]) -> None:
    """Where everything listens."""
    table = Table(show_header=False, box=None)
    for name, url in urls.items():
        table.add_row(name, url)
    console.print(table)
