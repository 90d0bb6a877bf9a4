"""A whole installation whose every process may be killed, and services of which any number may run."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson

from kernel.settings import PREFIX
from launcher import catalogue
from launcher.home import Home, prepare, program_bases, write_endpoints
from launcher.processes import LeashedProcess, reserve_loopback_ports
from launcher.programs import PROGRAMS
from launcher.stack import ON_THE_WAY
from tests.support.wait import until

LEAVE_SECONDS = 20.0


@dataclass
class Process:
    """One process of the installation, started again by `World.heal` whenever it is found dead."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    ports: Mapping[str, int]
    """By the service or recipient that it serves."""
    points: list[str] = field(default_factory=list)
    """Crash points that it has to die at, one per start."""
    armed: str | None = None
    deaths: int = 0
    running: LeashedProcess | None = None

    def start(self) -> None:
        self.armed = self.points[0] if self.points else None
        environment = self.environment | {"FIRSTNOTICE_CRASH_AT": self.armed or ""}
        self.running = LeashedProcess(self.arguments, output=self.log, keep_output=True, environment=environment)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.running

    def found_dead(self) -> str | None:
        """Notes a death; returns the crash point that it died at, if any was armed."""
        self.deaths += 1
        self.running = None
        died_at, self.armed = self.armed, None
        if died_at is not None:
            self.points.remove(died_at)
        return died_at

    def kill(self) -> None:
        if self.running is not None and self.running.running:
            # A kill from outside says nothing about the crash point, which stays to be hit.
            self.armed = None
            self.running.kill()

    def leave(self) -> None:
        """Asks it to end in order and waits; blocking. Take it out of the world first, or it is started again."""
        if self.running is not None and self.running.running:
            self.running.terminate(LEAVE_SECONDS)

    def pause(self) -> Callable[[], None]:
        """Stops it where it is; the result lets it go on, if nobody has killed it meanwhile."""
        paused = self.running

        def go_on() -> None:
            if paused is not None and paused.running:
                os.kill(paused.pid, signal.SIGCONT)

        if paused is not None and paused.running:
            os.kill(paused.pid, signal.SIGSTOP)
        return go_on


@dataclass(frozen=True)
class Servers:
    """Where a process finds PostgreSQL and Kafka; `kafka` is None for the embedded log."""

    dsn: str
    kafka: str | None


class World:
    """Services and example recipients on given servers, in the processes that the launcher gives them."""

    def __init__(
        self,
        directory: Path,
        dsn: str,
        *,
        kafka: str | None,
        sabotage: str | None = None,
        through: Mapping[str, Servers] | None = None,
        together: Sequence[Sequence[str]] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`through` gives processes, by name, another way to the servers; `together` says which services share a
        process; `settings` are the services' own, by field name."""
        self.dsn = dsn
        self.home = Home(directory)
        self._servers = Servers(dsn, kafka)
        self._through = through or {}
        self._sabotage = sabotage or ""
        self._settings = {"policy_overrides": '{"juvenile_review_after": "PT1S"}', **(settings or {})}
        prepare(self.home)
        names = [*catalogue.SERVICES, *PROGRAMS]
        self.ports = dict(zip(names, reserve_loopback_ports(len(names)), strict=True))
        write_endpoints(self.home, program_bases(self.ports))
        self.processes: dict[str, Process] = {}
        self._replica_ports: dict[str, int] = {}
        self._deaths_of_left = 0
        for services in processes_of(kafka is not None) if together is None else together:
            self._add_services("+".join(services), services, {one: self.ports[one] for one in services})
        for name in PROGRAMS:
            arguments = [
                *(sys.executable, "-m", "launcher", "recipients", name, "--port", str(self.ports[name])),
                *("--router", self.url("router"), "--secrets", str(self.home.recipient_secrets(name))),
                *("--ledger", str(self.home.ledger(name))),
            ]
            self._add(name, arguments, {}, {name: self.ports[name]})

    def join(self, service: str) -> Process:
        """A further replica of a service, alone in a process of its own (`router-2`) on a port of its own. It is
        started at the next `heal`."""
        name = next(f"{service}-{n}" for n in range(2, 100) if f"{service}-{n}" not in self.processes)
        if name not in self._replica_ports:
            (self._replica_ports[name],) = reserve_loopback_ports(1)
        return self._add_services(name, [service], {service: self._replica_ports[name]})

    def leave(self, process: Process) -> None:
        """The world does without this process from now on; ending it is the caller's."""
        self._deaths_of_left += process.deaths
        del self.processes[process.name]

    def _add_services(self, name: str, services: Sequence[str], ports: Mapping[str, int]) -> Process:
        servers = self._through.get(name, self._servers)
        settings = {
            "database_dsn": servers.dsn,
            "bus": "kafka" if servers.kafka else "embedded",
            "kafka_bootstrap_servers": servers.kafka or "",
            "keyset_file": str(self.home.keyset),
            "clients_file": str(self.home.clients),
            "endpoints_file": str(self.home.endpoints),
            # Two members of one group with one name would take each other's place.
            **({"member": name} if name in self._replica_ports else {}),
            **self._settings,
        }
        return self._add(
            name,
            [sys.executable, "-m", "tests.faults.services", *services],
            {PREFIX + field.upper(): value for field, value in settings.items()}
            | {"TEST_PORTS": orjson.dumps(dict(ports)).decode(), "TEST_SABOTAGE": self._sabotage},
            ports,
        )

    def _add(self, name: str, arguments: list[str], environment: dict[str, str], ports: Mapping[str, int]) -> Process:
        process = Process(name, arguments, environment, self.home.logs / f"{name}.log", ports)
        self.processes[name] = process
        return process

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def urls(self, service: str) -> list[str]:
        """Of every replica of a service that is meant to run now."""
        ports = [process.ports[service] for process in self.processes.values() if service in process.ports]
        return [f"http://127.0.0.1:{port}" for port in ports]

    async def up(self) -> None:
        """Starts what is down and waits until all of it works."""
        async with httpx.AsyncClient(timeout=2) as http:

            async def works() -> bool:
                self.heal()
                urls = [url for service in catalogue.SERVICES for url in self.urls(service)]
                return all([await _ready(http, url + "/readyz") for url in urls])

            await until(works, bool, seconds=180)

    def heal(self) -> list[str]:
        """Starts again what is dead, as a process supervisor would; returns the crash points that were hit."""
        hit = []
        for process in self.processes.values():
            if not process.alive:
                if process.running is not None and (point := process.found_dead()) is not None:
                    hit.append(point)
                process.start()
        return hit

    @property
    def listens(self) -> bool:
        """Whether every address that is served can be reached."""
        for port in self.ports.values():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) != 0:
                    return False
        return True

    def down(self) -> None:
        for process in self.processes.values():
            if process.alive and process.running is not None:
                process.running.kill()

    @property
    def deaths(self) -> int:
        return self._deaths_of_left + sum(process.deaths for process in self.processes.values())

    @property
    def has_points_left(self) -> bool:
        """Whether some process has still to die at a crash point."""
        return any(process.points for process in self.processes.values())

    def logs(self) -> str:
        return "\n".join(
            f"--- {process.name}\n" + "\n".join(process.log.read_text(errors="replace").splitlines()[-15:])
            for process in self.processes.values()
            if process.log.exists()
        )


def processes_of(cluster: bool) -> list[list[str]]:
    """Which services share a process, as the launcher has it."""
    alone = [service for service in catalogue.SERVICES if cluster or service not in ON_THE_WAY]
    return [*([] if cluster else [list(ON_THE_WAY)]), *([service] for service in alone)]


async def _ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.HTTPError:
        return False
