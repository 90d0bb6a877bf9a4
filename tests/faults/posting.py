"""Reports to post, and who posts them: until they are accepted, whatever dies meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from launcher.client import Signed
from tests.faults.world import World

AGENCY = "MO0390100"

_numbers = count(1)


def an_encounter(kind: int) -> tuple[dict[str, Any], set[str]]:
    """A report, and the recipients who must be told: three kinds, the third after a review timer."""
    number = next(_numbers)
    age, recipients = (
        ({"years": 34, "verified_by": "document"}, {"mo-dss"}),
        ({"years": 16, "verified_by": "document"}, {"mo-dss", "mo-jo-16", "us-hhs-otip"}),
        ("unknown", {"mo-dss", "mo-jo-16", "us-hhs-otip"}),
    )[kind % 3]
    report = {
        "agency_ori": AGENCY,
        "encounter_at": "2026-11-01T12:00:00Z",
        "encounter": {"incident_number": f"26-{number:06d}", "location": {"county_fips": "29095"}},
        "subjects": [
            {"subject_number": 1, "age": age, "circumstances": {"appears_victim": True, "trafficking": {"type": "sex"}}}
        ],
    }
    return report, recipients


class Poster:
    """Posts each report to a replica of intake until it is accepted."""

    def __init__(self, world: World, *, retried: frozenset[int] = frozenset({429, 503})) -> None:
        """`retried`: answers after which a records system sends again; any other than these and 202 is a failure."""
        self._world = world
        self._retried = retried
        client = world.home.client_of(AGENCY)
        self._auth = Signed.from_file(client, world.home.key_of(client))
        self.accepted: dict[str, set[str]] = {}
        """Encounter id to the recipients who must be told."""
        self.answers: Counter[int] = Counter()
        """How often each status was the answer."""

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=10, auth=self._auth)

    async def post_all(self, reports: Iterator[tuple[dict[str, Any], set[str]]], *, workers: int = 4) -> None:
        async with self.client() as http:

            async def work() -> None:
                for report, recipients in reports:
                    accepted = await self.post(http, "", report)
                    self.accepted[accepted["encounter_id"]] = recipients

            await asyncio.gather(*(work() for _ in range(workers)))

    async def post(self, http: httpx.AsyncClient, path: str, body: Mapping[str, Any]) -> Any:
        """What intake answered with 202. The same body again, under the same key, is the same request."""
        headers = {"Idempotency-Key": str(uuid4())}
        for attempt in count():
            replicas = self._world.urls("intake")
            url = f"{replicas[attempt % len(replicas)]}/v1/encounters{path}"
            with suppress(httpx.HTTPError):
                answer = await http.post(url, json=body, headers=headers)
                self.answers[answer.status_code] += 1
                if answer.status_code == 202:
                    return answer.json()
                assert answer.status_code in self._retried, answer.text
            await asyncio.sleep(0.1)
