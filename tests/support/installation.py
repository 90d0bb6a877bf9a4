"""A whole installation as people start it, and what is seen of it from outside: its words, doors and processes."""

import random
import re
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from launcher import ledger
from launcher.catalogue import SERVICES
from launcher.examples import EXAMPLES
from launcher.home import Home
from launcher.processes import LeashedProcess, is_live
from launcher.programs import PROGRAMS
from launcher.send import send_files
from launcher.stack import KAFKA_ADDRESS, assign_ports
from tests.support.wait import until

PATIENCE = 150.0
"""Seconds for a whole installation to start, on two cores on which other tests kill and start processes."""


@dataclass
class Installation:
    """A data directory, and what is started on it."""

    home: Home
    runs: list[LeashedProcess] = field(default_factory=list)

    def start(self, *arguments: str, port: int = 0) -> LeashedProcess:
        self.home.root.mkdir(parents=True, exist_ok=True)
        command = ["up", "--port", str(port), "--data-dir", str(self.home.root), *arguments]
        # A broker that others share holds their events: each installation has its own.
        process = LeashedProcess(
            [sys.executable, "-m", "launcher", *command], output=self.output, environment={KAFKA_ADDRESS: ""}
        )
        self.runs.append(process)
        return process

    async def run(self, *arguments: str, seconds: float = PATIENCE) -> int:
        """The exit status of the main job."""
        process = self.start("--examples", "--exit", *arguments)
        await until(lambda: process.running, lambda running: not running, seconds=seconds)
        assert process.returncode is not None
        return process.returncode

    @property
    def output(self) -> Path:
        return self.home.root / "output.txt"

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def ledgers(self) -> dict[str, bytes]:
        return {name: self.home.ledger(name).read_bytes() for name in PROGRAMS}

    def received(self) -> int:
        return sum(len(ledger.read(self.home.ledger(name)).received) for name in PROGRAMS)

    # -- while it stays up --

    async def until_said(self, words: str) -> None:
        """Waits for its words; fails with all that it said when it has ended, or is silent for too long."""

        def said() -> bool:
            assert words in self.said or self.runs[-1].running, self.said
            return words in self.said

        await until(said, bool, seconds=PATIENCE)

    async def until_ready(self) -> None:
        """Waits until every service does its work."""
        urls = dict(re.findall(r"^\s*(\w+)\s+(http://\S+)", self.said, re.MULTILINE))
        async with httpx.AsyncClient(timeout=5) as http:

            async def answers() -> dict[str, int | str]:
                return {service: await _status(http, urls[service]) for service in SERVICES}

            await until(answers, lambda seen: set(seen.values()) == {200}, seconds=PATIENCE)

    async def tells(self, example: str) -> None:
        """An encounter that is posted now reaches the department."""
        (intake,) = re.findall(r"^\s*intake\s+(http://\S+)", self.said, re.MULTILINE)
        sent: list[str] = []
        await send_files(list((EXAMPLES / "encounters").glob(f"{example}-*.json")), self.home.root, intake, sent.append)
        encounter = sent[0].split()[0]
        await until(
            lambda: {one.encounter_id for one in ledger.read(self.home.ledger("dss")).received.values()},
            lambda told: encounter in told,
            seconds=PATIENCE,
        )

    def children(self) -> dict[str, psutil.Process]:
        """What the launcher runs as processes of their own, by name: services, recipients, the broker."""
        found = {}
        for process in psutil.Process(self.runs[-1].pid).children():
            words = process.cmdline() if is_live(process) else []
            names = [name for name in (*SERVICES, *PROGRAMS) if name in words[:6]]
            if "kafka.Kafka" in words:
                names = ["broker"]
            found.update(dict.fromkeys(names, process))
        return found


async def _status(http: httpx.AsyncClient, url: str) -> int | str:
    try:
        return (await http.get(url + "/readyz")).status_code
    except httpx.HTTPError as error:
        return type(error).__name__


def kill_with_leashes(owner: psutil.Process) -> None:
    """SIGKILL for a process and its leashes, which do not get to do what they are for."""
    leashes = [child for child in owner.children() if child.cmdline()[:1] == ["/bin/sh"]]
    assert leashes
    for leash in leashes:
        leash.suspend()
    for process in (owner, *leashes):
        process.kill()


def reserve_base_port() -> int:
    """A `--port` whose followers are free, and kept for the servers that bind to them until this process ends."""
    while True:
        base = random.randrange(10_000, 30_000)  # below those that the system gives to outgoing connections
        holders = [socket.socket() for _ in assign_ports(base)]
        try:
            for holder, port in zip(holders, assign_ports(base).values(), strict=True):
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                holder.bind(("127.0.0.1", port))
        except OSError:
            continue
        for holder in holders:
            holder.detach()
        return base


__all__ = ["PATIENCE", "Installation", "kill_with_leashes", "reserve_base_port"]
