"""An installation of which each service may be of an earlier release: before, after, or half-way through an upgrade."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx

from kernel.settings import PREFIX
from launcher.client import Signed
from launcher.programs import PROGRAMS
from tests.faults.posting import AGENCY, Poster
from tests.faults.world import Process, World
from tests.released.release import Release

SERVICES = ("intake", "router", "eligibility", "audit")
STOP_SECONDS = 30.0


class Installation:
    """Services and example recipients, which know the services only as webhooks that come in.

    Of a release only what it documents is used: its command, its settings, its routes.
    """

    def __init__(self, directory: Path, dsn: str, release: Release, *, kafka: str | None) -> None:
        release.firstnotice("secrets", "--data-dir", str(directory))  # once, by whoever was there first
        self.world = World(directory, dsn, kafka=kafka)
        self.poster = Poster(self.world)
        self._today = {name: one for name, one in self.world.processes.items() if name not in PROGRAMS}
        home, ports = self.world.home, self.world.ports
        settings = {
            "DATABASE_DSN": dsn,
            "KEYSET_FILE": str(home.keyset),
            "CLIENTS_FILE": str(home.clients),
            "ENDPOINTS_FILE": str(home.endpoints),
            "POLICY_OVERRIDES": '{"juvenile_review_after": "PT1S"}',
            "BUS": "kafka" if kafka else "embedded",
        } | ({"KAFKA_BOOTSTRAP_SERVERS": kafka} if kafka else {})
        variables = release.environment | {PREFIX + name: value for name, value in settings.items()}
        self._released = {
            service: Process(
                f"{service}-{release.version}",
                release.command(service),
                variables | {PREFIX + "PORT": str(ports[service])},
                home.logs / f"{service}-{release.version}.log",
                {service: ports[service]},
            )
            for service in SERVICES
        }

    async def run(self, *, released: Collection[str]) -> None:
        """Brings up these services as the release has them and the others as today's, in place of what runs now."""
        of_today = {name: one for name, one in self._today.items() if not set(name.split("+")) & set(released)}
        wanted = {service: self._released[service] for service in released} | of_today
        await self.stop(*(name for name in self.running if wanted.get(name) is not self.world.processes[name]))
        self.world.processes = wanted | {name: self.world.processes[name] for name in PROGRAMS}
        await self.world.up()

    @property
    def running(self) -> list[str]:
        """The processes of services, by name, that were started and not stopped."""
        processes = self.world.processes.items()
        return [name for name, one in processes if name not in PROGRAMS and one.running is not None]

    async def stop(self, *names: str) -> None:
        """Stops processes in order, all at once, and leaves them down until the next start."""

        async def stop(process: Process) -> None:
            if process.running is not None:
                await asyncio.to_thread(process.running.terminate, STOP_SECONDS)
                process.running = None

        await asyncio.gather(*(stop(self.world.processes[name]) for name in names))

    def kill(self, *names: str) -> None:
        """What a power cut does; they stay down until the next start."""
        for name in names:
            self.world.processes[name].kill()
            self.world.processes[name].running = None

    async def amend(self, encounter_id: str, amendment: dict[str, Any]) -> None:
        client = self.world.home.client_of(AGENCY)
        signed = Signed.from_file(client, self.world.home.key_of(client))
        async with httpx.AsyncClient(timeout=10, base_url=self.world.url("intake"), auth=signed) as http:
            answer = await http.post(f"/v1/encounters/{encounter_id}/amendments", json=amendment)
        assert answer.status_code == 202, answer.text
