"""The main job: posts every example, and follows each until everybody who has to know has answered."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson

from contracts.facts import EncounterReport
from kernel.clock import system_clock
from kernel.database import Database
from kernel.errors import ConfigurationError
from launcher.client import Signed, accepted
from launcher.history import History, histories, open_points, read_trail
from launcher.home import Home
from launcher.verdict import at_rest
from rulebook.duties import Decision, DutyFacts, decide, reported_duties
from rulebook.loader import Law
from rulebook.programs import Determination, determine
from services.intake.domain.merge_patch import merge_patch

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
POLICY = {"juvenile_review_after": "PT5S"}
"""So that a review whose timer runs out can be watched."""
AMENDMENT = ".amendment.json"
JURISDICTION = "MO"
_LOOK_SECONDS = 0.25


Answered = Mapping[str, Any]
"""One duty, as `GET /v1/encounters/{id}/obligations` tells it."""


@dataclass(frozen=True)
class Example:
    """One encounter: a report, and the amendment beside it, if any."""

    name: str
    report: bytes = field(repr=False)
    amendment: bytes | None = field(repr=False, default=None)

    @property
    def agency(self) -> str:
        agency: str = orjson.loads(self.report)["agency_ori"]
        return agency

    def final_report(self) -> EncounterReport:
        """The report with its amendment laid over it, as intake does it."""
        report = orjson.loads(self.report)
        if self.amendment is not None:
            patch = orjson.loads(self.amendment)
            subjects = {subject["subject_number"]: subject for subject in report["subjects"]}
            for change in patch.pop("subjects", ()):
                number = change["subject_number"]
                subjects[number] = merge_patch(subjects.get(number), change)
            report = merge_patch(report, patch) | {"subjects": list(subjects.values())}
        return EncounterReport.model_validate(report)


@dataclass
class Case:
    """An example that was accepted, and what became of it."""

    example: Example
    encounter_id: str
    history: History
    amended: int = 0
    """Subjects whose amendment was accepted."""
    duties: Mapping[tuple[int, str], Answered] = field(default_factory=dict)
    """What the router answers the agency of every duty, by subject number and duty: tasks and reasons are sealed."""

    def open_points(self, law: Law) -> list[str]:
        return open_points(self.history, reported_duties(law, JURISDICTION), self.amended)


@dataclass(frozen=True)
class Progress:
    """How far the job is, in numbers for a person to watch."""

    accepted: int
    examples: int
    duties: int
    notices: int
    confirmed: int
    acknowledged: int
    timers: int
    ended: int

    def line(self) -> str:
        return (
            f"{self.accepted}/{self.examples} accepted · {self.duties} duties decided · "
            f"{self.timers} review timers run · "
            f"{self.confirmed}/{self.notices} notices confirmed · {self.acknowledged} acknowledged · "
            f"{self.ended}/{self.examples} ended"
        )


def load_examples(folder: Path = EXAMPLES / "encounters") -> list[Example]:
    """Every report of the folder, with its amendment. Raises ConfigurationError when there is none."""
    reports = [path for path in sorted(folder.glob("*.json")) if not path.name.endswith(AMENDMENT)]
    if not reports:
        raise ConfigurationError(f"there are no examples in {folder}: run from a checkout of firstnotice")
    return [_example(path) for path in reports]


def _example(path: Path) -> Example:
    amendment = path.with_name(path.stem + AMENDMENT)
    return Example(path.stem, path.read_bytes(), amendment.read_bytes() if amendment.exists() else None)


class Poster:
    """Posts reports and amendments as the agency that they name."""

    def __init__(self, home: Home, intake: str) -> None:
        self._home = home
        self._http = httpx.AsyncClient(base_url=intake, timeout=30.0)
        self._signers: dict[str, Signed] = {}

    async def report(self, body: bytes, agency: str) -> dict[str, Any]:
        """Intake's answer. Raises Refused, ConfigurationError, httpx.HTTPError."""
        return await self._post("/v1/encounters", body, agency)

    async def amend(self, encounter_id: str, body: bytes, agency: str) -> dict[str, Any]:
        return await self._post(f"/v1/encounters/{encounter_id}/amendments", body, agency)

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, path: str, body: bytes, agency: str) -> dict[str, Any]:
        client = self._home.client_of(agency)
        if client not in self._signers:
            self._signers[client] = Signed.from_file(client, self._home.key_of(client))
        # The same file again is the same request: it is answered as before, and nothing is stored twice.
        headers = {"Content-Type": "application/json", "Idempotency-Key": sha256(path.encode() + body).hexdigest()}
        response = await self._http.post(path, content=body, headers=headers, auth=self._signers[client])
        answer: dict[str, Any] = accepted(response)
        return answer


async def carry(
    examples: Sequence[Example],
    poster: Poster,
    database: Database,
    law: Law,
    *,
    patience: float,
    show: Callable[[Progress], None],
) -> list[Case]:
    """Posts all examples, amends those that have an amendment once their report is decided, and waits until nothing is
    open, at most `patience` seconds. Raises Refused, Unavailable.
    """
    answers = await asyncio.gather(*(poster.report(one.report, one.agency) for one in examples))
    cases = [
        Case(one, answer["encounter_id"], History(answer["encounter_id"]))
        for one, answer in zip(examples, answers, strict=True)
    ]
    deadline = time.monotonic() + patience
    unamended = [case for case in cases if case.example.amendment is not None]
    resting = False
    while True:
        found = histories(await read_trail(database, [case.encounter_id for case in cases]))
        for case in cases:
            case.history = found.get(case.encounter_id, case.history)
        for case in [case for case in unamended if _told(case.history)]:
            await poster.amend(case.encounter_id, case.example.amendment or b"", case.example.agency)
            case.amended = len(orjson.loads(case.example.amendment or b"{}").get("subjects", ()))
            unamended.remove(case)
        progress = _progress(cases, len(examples), law)
        show(progress)
        if (progress.ended == len(cases) and not unamended and resting) or time.monotonic() > deadline:
            return cases
        # What has ended may be about to begin anew: an amendment that was accepted and not yet decided on.
        resting = not unamended and await at_rest(database)
        await asyncio.sleep(_LOOK_SECONDS)


async def read_duties(cases: Sequence[Case], home: Home, router: str) -> None:
    """Asks the router, as the agency of each case, what was decided and why. Raises Refused, ConfigurationError."""
    async with httpx.AsyncClient(base_url=router, timeout=30.0) as http:
        for case in cases:
            client = home.client_of(case.example.agency)
            signed = Signed.from_file(client, home.key_of(client))
            answer = accepted(await http.get(f"/v1/encounters/{case.encounter_id}/obligations", auth=signed))
            case.duties = {
                (subject["subject_number"], one["duty_id"]): one
                for subject in answer["subjects"]
                for one in subject["obligations"]
            }


def _told(history: History) -> bool:
    """The first report has run its course, so that an amendment has something to change."""
    return bool(history.duties) and bool(history.notices) and all(one.settled for one in history.notices.values())


def _progress(cases: Sequence[Case], examples: int, law: Law) -> Progress:
    notices = [notice for case in cases for notice in case.history.notices.values()]
    decisions = [decided for case in cases for decided in case.history.duties.values()]
    return Progress(
        accepted=len(cases),
        examples=examples,
        duties=len(decisions),
        notices=len(notices),
        confirmed=sum(one.confirmed_at is not None for one in notices),
        acknowledged=sum(one.acknowledged is not None for one in notices),
        timers=sum(one.outcome == "review" and one.review_at is not None for one in decisions),
        ended=sum(not case.open_points(law) for case in cases),
    )


@dataclass(frozen=True)
class Preview:
    """What the same law says of the example, evaluated here."""

    decisions: Mapping[tuple[int, str], Decision]
    determinations: Mapping[int, Determination]


def preview(case: Case, law: Law) -> Preview:
    """Reasons by subject number and duty, and programs by subject number."""
    report = case.example.final_report()
    discovered = report.discovered_at or report.encounter_at
    now = system_clock()
    decisions: dict[tuple[int, str], Decision] = {}
    determinations: dict[int, Determination] = {}
    for subject in report.subjects:
        number = subject.subject_number
        facts = report.facts_of(subject)
        for expired in (False, True):
            for decision in decide(
                DutyFacts(
                    subject=facts,
                    encounter_at=report.encounter_at,
                    discovered_at=discovered,
                    as_of=now,
                    jurisdiction=JURISDICTION,
                    review_expired=expired,
                ),
                law,
                all_duties=True,
            ):
                decided = case.duties.get((number, decision.duty_id), {})
                if expired == (decided.get("decided_by") == "timer"):
                    decisions[number, decision.duty_id] = decision
        determinations[number] = determine(
            facts, law, jurisdiction=JURISDICTION, encounter_at=report.encounter_at, as_of=now
        )
    return Preview(decisions, determinations)


def against_preview(case: Case, expected: Preview) -> list[str]:
    """Where the services decided otherwise than the same law does here, or did not decide at all."""
    wrong = []
    for (number, duty_id), decision in expected.decisions.items():
        place = f"{case.example.name}, subject {number}, {duty_id}"
        decided = case.duties.get((number, duty_id))
        if decided is None:
            wrong.append(f"{place}: not decided")
        elif (decided["outcome"], decided["recipient_id"]) != (decision.outcome, decision.recipient_id):
            wrong.append(
                f"{place}: the router decided {decided['outcome']} ({decided['recipient_id']}), "
                f"the law says {decision.outcome} ({decision.recipient_id})"
            )
    wrong += [
        f"{case.example.name}, subject {number}, {duty_id}: decided, and no duty of the law"
        for number, duty_id in case.duties.keys() - expected.decisions.keys()
    ]
    return wrong
