"""Which versions of law and policy a service applies: told once per version, and shown by `/readyz` while it runs."""

import asyncio
from collections.abc import Mapping
from uuid import UUID, uuid5

from contracts.envelope import Event
from contracts.events import PolicyChanged
from kernel.clock import Clock, Ids
from kernel.database import Database
from kernel.events.outbox import Outbox

APPLIED_POLICY_V1 = """
    CREATE TABLE applied_policy (
        policy text PRIMARY KEY,
        version text NOT NULL,
        since timestamptz NOT NULL
    )
    """
"""In the schema of every service that applies law."""

EVERYWHERE = "US"
"""A release holds the law of every jurisdiction."""

_POLICY = UUID("6b9c4a1e-0d6f-5c1b-9a53-2f3f6f0f7a11")


class AppliedPolicies:
    """A service's loop that tells what it applies from its start on. `versions` by name: `law` and `policy`."""

    def __init__(
        self, database: Database, outbox: Outbox, versions: Mapping[str, str], *, clock: Clock, ids: Ids
    ) -> None:
        self.versions = versions
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._ids = ids

    async def run(self, stop: asyncio.Event) -> None:
        """Tells what is new, and has nothing else to do until `stop`. Raises Unavailable: run it again."""
        await self.tell()
        await stop.wait()

    async def tell(self) -> None:
        """A `policy.changed` for each version that was not applied last, in the transaction that notes it.

        A restart with the same versions tells nothing, nor does the second of two processes. Raises Unavailable.
        """
        async with self._database.transaction() as tx:
            await tx.driver.execute("LOCK TABLE applied_policy IN SHARE ROW EXCLUSIVE MODE")
            rows = await tx.driver.fetch("SELECT policy, version FROM applied_policy")
            before: dict[str, str] = {row["policy"]: row["version"] for row in rows}
            news = {name: version for name, version in self.versions.items() if before.get(name) != version}
            now = self._clock()
            await tx.driver.executemany(
                """
                INSERT INTO applied_policy (policy, version, since) VALUES ($1, $2, $3)
                ON CONFLICT (policy) DO UPDATE SET version = excluded.version, since = excluded.since
                """,
                [(name, version, now) for name, version in news.items()],
            )
            await self._outbox.append(
                tx,
                [
                    Event(
                        id=(event_id := self._ids()),
                        time=now,
                        source=self._outbox.source,
                        data=PolicyChanged(policy=name, version=version, replaces=before.get(name)),
                        key=uuid5(_POLICY, f"{self._outbox.source}/{name}"),
                        jurisdiction=EVERYWHERE,
                        correlation_id=event_id,
                        law_version=self.versions.get("law"),
                        policy_version=self.versions.get("policy"),
                    )
                    for name, version in news.items()
                ],
            )
