"""`firstnotice up`: starts everything, does the main job if asked, and stays until it is told to stop."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.live import Live

from kernel.clock import system_clock
from kernel.database import Database
from kernel.errors import FirstnoticeError
from kernel.settings import load_settings
from kernel.telemetry import configure_logging
from launcher import ledger, verdict
from launcher.catalogue import SERVICES, settings_class, stop_on_signals
from launcher.client import Signed, accepted
from launcher.examples import (
    EXAMPLES,
    POLICY,
    Case,
    Poster,
    Preview,
    Progress,
    against_preview,
    carry,
    load_examples,
    preview,
    read_duties,
)
from launcher.history import histories, read_trail
from launcher.home import at
from launcher.programs import PROGRAMS
from launcher.report import is_open_task, show_case, show_urls
from launcher.stack import Plan, Stack, assign_ports, running
from rulebook.loader import Law
from rulebook.release import load_law_or_last_good

_LOOK_SECONDS = 0.5
_LINE_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    """What the command line says. `patience`: seconds until what is still open counts as failed."""

    data_dir: Path
    port: int
    cluster: bool = False
    examples: bool = False
    exit: bool = False
    patience: float = 120.0
    silent: frozenset[str] = field(default_factory=frozenset)


async def up(options: Options, console: Console) -> int:
    """The exit status: 0, or 1 when the main job did not end as it must. Raises FirstnoticeError."""
    home = at(options.data_dir)
    home.logs.mkdir(parents=True, exist_ok=True)
    policy = POLICY if options.examples else {}
    plan = Plan(
        home,
        assign_ports(options.port),
        cluster=options.cluster,
        policy=policy,
        silent=options.silent,
        say=lambda line: console.print(line, style="dim", highlight=False),
        warn=lambda line: console.print(line, style="yellow", highlight=False, markup=False),
    )
    stop = asyncio.Event()
    stop_on_signals(stop)
    with (home.logs / "firstnotice.log").open("a", encoding="utf-8") as log:
        configure_logging(output="json", stream=log)
        try:
            async with running(plan, stop) as stack:
                return await _until_stopped(stack, options, console, stop)
        except FirstnoticeError:
            if stop.is_set():  # while something was not ready
                return 0
            raise


async def _until_stopped(stack: Stack, options: Options, console: Console, stop: asyncio.Event) -> int:
    if stop.is_set():
        return 0
    status = await _unless_stopped(_work(stack, options, console), stack, stop)
    if status is None or options.exit:
        return status or 0
    console.print("Everything runs. Ctrl-C stops it.", style="bold")
    await _unless_stopped(asyncio.Event().wait(), stack, stop)
    return status


async def _unless_stopped(work: Awaitable[object], stack: Stack, stop: asyncio.Event) -> int | None:
    """The result of the work, or None when somebody asked to stop first. Raises what made a part of the stack end."""
    working = asyncio.ensure_future(work)
    others = [asyncio.create_task(stack.failure()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait([working, *others], return_when=asyncio.FIRST_COMPLETED)
        if others[0].done():
            others[0].result()
        if working.done():
            result = working.result()
            return result if isinstance(result, int) else 0
        return None
    finally:
        for task in (working, *others):
            task.cancel()
        await asyncio.gather(working, *others, return_exceptions=True)


async def _work(stack: Stack, options: Options, console: Console) -> int:
    await stack.until_ready()
    status = 0
    if options.examples:
        database = Database(stack.dsn, schema="audit", pool_size=2)
        try:
            status = await _main_job(stack, options, console, database, _law(stack))
        finally:
            await database.close()
    names = {name: name for name in SERVICES} | {name: program.title for name, program in PROGRAMS.items()}
    if not options.exit:
        show_urls(console, {title: stack.plan.url(name) for name, title in names.items()})
        console.print(f"Keys, ledgers and logs: {stack.plan.home.root}", highlight=False)
    return status


def _law(stack: Stack) -> Law:
    """What the router applies."""
    given = stack.plan.settings_of("router", stack.dsn, None)
    settings = load_settings(settings_class("router"), **given)
    today = system_clock().date()
    return load_law_or_last_good(
        settings.law_path, stack.plan.policy, on=today, allow_unsealed=settings.law_unsealed
    ).law


async def _main_job(stack: Stack, options: Options, console: Console, database: Database, law: Law) -> int:
    started = time.monotonic()
    poster = Poster(stack.plan.home, stack.plan.url("intake"))
    try:
        with _Display(console) as display:
            cases = await carry(load_examples(), poster, database, law, patience=options.patience, show=display.show)
    finally:
        await poster.close()
    await read_duties(cases, stack.plan.home, stack.plan.url("router"))
    expectations = verdict.load_expectations(EXAMPLES / "expectations.yaml")
    previews = {case.encounter_id: preview(case, law) for case in cases}
    steps = await _lineages(stack, cases)
    for case in cases:
        about = expectations.get(case.example.name, {}).get("about", "")
        show_case(console, case, previews[case.encounter_id], about, steps[case.encounter_id])
    left = max(5.0, options.patience - (time.monotonic() - started))
    wrong = _job_problems(cases, previews, expectations, law) + await _settled_problems(stack, database, left)
    for line in wrong:
        console.print(f"✗ {line}", style="red", highlight=False)
    if not wrong:
        told = sum(len(case.history.notices) for case in cases)
        decided = sum(len(case.duties) for case in cases)
        tasks = sum(is_open_task(one) for case in cases for one in case.duties.values())
        console.print(
            f"✓ {len(cases)} encounters, {decided} duties decided: {told} notices confirmed and acknowledged by their "
            f"receivers, no other was sent, {tasks} tasks wait for people, and the trail holds every event exactly "
            f"once ({time.monotonic() - started:.1f} s)",
            style="green",
            highlight=False,
        )
    return 1 if wrong else 0


def _job_problems(
    cases: list[Case], previews: Mapping[str, Preview], expectations: verdict.Expectations, law: Law
) -> list[str]:
    wrong = [f"{case.example.name}: {point}" for case in cases for point in case.open_points(law)]
    for case in cases:
        wrong += against_preview(case, previews[case.encounter_id])
        expected = expectations.get(case.example.name)
        if expected is None:
            wrong.append(f"{case.example.name}: expectations.yaml does not say what it must end in")
        else:
            wrong += verdict.against_expectations(case.example.name, case.history, expected)
            wrong += verdict.tasks_against_expectations(case.example.name, case.duties, expected)
    return wrong


async def _settled_problems(stack: Stack, database: Database, patience: float) -> list[str]:
    """What the ledgers and the trail say once they have stopped moving; what is still wrong after `patience`."""
    deadline = time.monotonic() + patience
    while True:
        ledgers = {name: ledger.read(stack.plan.home.ledger(name)) for name in PROGRAMS}
        wrong = verdict.against_ledgers(histories(await read_trail(database)), ledgers)
        wrong += await verdict.against_sequences(database)
        if not wrong or time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(_LOOK_SECONDS)


async def _lineages(stack: Stack, cases: list[Case]) -> dict[str, int]:
    """How many steps the auditor reads of each encounter, over the public API."""
    signed = Signed.from_file("auditor", stack.plan.home.key_of("auditor"))
    steps: dict[str, int] = {}
    async with httpx.AsyncClient(base_url=stack.plan.url("audit"), auth=signed, timeout=30.0) as http:
        for case in cases:
            lineage = accepted(await http.get(f"/v1/encounters/{case.encounter_id}/lineage"))
            steps[case.encounter_id] = len(lineage["steps"])
    return steps


class _Display:
    """Progress that moves on a terminal, and is a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None
        self._said: tuple[float, Progress | None] = (0.0, None)

    def __enter__(self) -> "_Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(progress.line())
            return
        at, last = self._said
        if progress != last and time.monotonic() - at >= _LINE_SECONDS:
            self._console.print(progress.line(), highlight=False)
            self._said = (time.monotonic(), progress)
