"""A real Apache Kafka broker on this machine without Docker, for `make run-cluster` and the tests.

The jars come from Maven once, into a cache outside the tree; what is fetched and how it is set is in `deploy/kafka/`.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from kernel.errors import FirstnoticeError
from launcher.processes import LeashedProcess, Ownership, last_lines, reserve_loopback_ports

RECIPE = Path(__file__).resolve().parent.parent / "deploy" / "kafka"
JAVA_VERSION = 17

_FETCH = "org.apache.maven.plugins:maven-dependency-plugin:3.7.1:copy-dependencies"
_JVM = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


class BrokerUnavailable(FirstnoticeError):
    """This machine lacks what a broker needs; the message says what to install."""


class BrokerFailed(FirstnoticeError):
    """The broker was started and did not come up; the message ends with its log."""


def default_cache_dir() -> Path:
    """`$FIRSTNOTICE_CACHE_DIR`, else `firstnotice` in the user's cache folder."""
    if chosen := os.environ.get("FIRSTNOTICE_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstnotice"


def fetch_broker(cache_dir: Path, progress: Callable[[str], None] = lambda line: None) -> Path:
    """The folder with the broker's jars, fetched with Maven when absent. Raises `BrokerUnavailable`."""
    _require_java()
    recipe = RECIPE / "pom.xml"
    jars = cache_dir / "kafka" / hashlib.sha256(recipe.read_bytes()).hexdigest()[:16]
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerUnavailable(
            "Apache Kafka is fetched with Maven, and `mvn` is not on the PATH. Install Maven (Debian: maven), "
            "or set KAFKA_BOOTSTRAP_SERVERS to a running broker."
        )
    jars.parent.mkdir(parents=True, exist_ok=True)
    # One at a time: Maven's own store does not bear two that fill it at once.
    with (jars.parent / "fetching.lock").open("w") as lock, tempfile.TemporaryDirectory(dir=jars.parent) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars.is_dir():
            return jars
        progress(f"Fetching Apache Kafka with Maven into {jars} (about 45 MB, once)")
        fetched = Path(scratch) / "lib"
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(recipe), f"-DoutputDirectory={fetched}", _FETCH],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerUnavailable(
                "Maven could not fetch Apache Kafka. Is there a network, or a mirror in Maven's settings? "
                f"You can also set KAFKA_BOOTSTRAP_SERVERS.\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        fetched.rename(jars)
    return jars


class LocalBroker:
    """One KRaft broker in one data directory, on loopback; it dies with the process that started it.

    Blocking; in async code use `async with`, or `asyncio.to_thread`. `ports` are (broker, controller); free ones are
    taken when none are given, and kept over `restart()`.
    """

    name = "Apache Kafka"

    def __init__(
        self,
        data_dir: Path,
        cache_dir: Path | None = None,
        ports: tuple[int, int] | None = None,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self._cache_dir = cache_dir or default_cache_dir()
        self._ports = ports
        self._progress = progress
        self._ownership = Ownership(self.data_dir)
        self._properties = self.data_dir / "server.properties"
        self._records = self.data_dir / "records"
        self._log = self.data_dir / "broker.log"
        self._output = self.data_dir / "start.log"
        self._jars: Path | None = None
        self._process: LeashedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port`, known from the first start on."""
        if self._ports is None:
            raise RuntimeError("A broker without given ports has no address before its first start.")
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """The broker's process id, or None when it does not run."""
        return self._process.pid if self._process is not None and self._process.running else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    @property
    def returncode(self) -> int | None:
        """How the broker ended, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.returncode

    def start(self, given_up: Callable[[], bool] = lambda: False) -> str:
        """Start the broker and wait until it answers; returns the bootstrap servers. A no-op while it runs.

        Raises `BrokerUnavailable` (something to install), `DataDirectoryInUse`, and `BrokerFailed`, also when it was
        `given_up` meanwhile.
        """
        if self.running:
            return self.bootstrap_servers
        # Once: when it has died, there is no time to lose on asking Java for its version.
        jars = self._jars = self._jars or fetch_broker(self._cache_dir, self._progress)
        with self._ownership.claimed():
            self._configure()
            self._format(jars)
            self._process = LeashedProcess(
                [*self._java(jars), "kafka.Kafka", str(self._properties)],
                output=self._output,
                environment=self._ownership.mark,
            )
            try:
                self._wait_until_it_answers(self._process, given_up)
            except BaseException:
                self.kill()
                raise
        return self.bootstrap_servers

    def stop(self) -> None:
        """Controlled shutdown; killed if that takes too long. Idempotent."""
        if self._process is not None:
            self._process.terminate(_STOP_SECONDS)
            self._process = None
        self._ownership.release()

    def kill(self) -> None:
        """SIGKILL, as a power cut would. The directory stays ours."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> str:
        """Stop (if it runs) and start again with the same ports and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _configure(self) -> None:
        if self._ports is None:
            broker_port, controller_port = reserve_loopback_ports(2)
            self._ports = (broker_port, controller_port)
        template = Template((RECIPE / "server.properties").read_text(encoding="utf-8"))
        self._properties.write_text(
            template.safe_substitute(broker_port=self._ports[0], controller_port=self._ports[1], log_dir=self._records),
            encoding="utf-8",
        )

    def _format(self, jars: Path) -> None:
        if (self._records / "meta.properties").exists():
            return
        tool = [*self._java(jars), "kafka.tools.StorageTool"]
        cluster_id = _run([*tool, "random-uuid"], self._ownership.mark).strip()
        _run([*tool, "format", "-t", cluster_id, "-c", str(self._properties)], self._ownership.mark)

    def _java(self, jars: Path) -> list[str]:
        log = [
            f"-Dlog4j2.configurationFile=file:{RECIPE / 'log4j2.properties'}",
            f"-Dfirstnotice.broker.log={self._log}",
        ]
        return ["java", *_JVM, *log, "-cp", f"{jars}/*"]

    def _wait_until_it_answers(self, process: LeashedProcess, given_up: Callable[[], bool]) -> None:
        """Listening is not enough: the broker has to be registered with its controller."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.running:
            if given_up():
                raise BrokerFailed(f"Kafka in {self.data_dir} was told to stop before it was ready.")
            if self._listens() and self._is_registered():
                return
            time.sleep(_POLL_SECONDS)
        raise BrokerFailed(
            f"Kafka did not come up in {self.data_dir}:\n{last_lines(self._output)}\n{last_lines(self._log)}"
        )

    def _listens(self) -> bool:
        host, port = self.bootstrap_servers.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    def _is_registered(self) -> bool:
        async def ask() -> bool:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5000)
            try:
                await admin.start()
                return bool((await admin.describe_cluster())["brokers"])
            except KafkaError:
                return False
            finally:
                await admin.close()

        # A thread of its own, because our caller's thread may be running an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ask()).result()


def _require_java() -> None:
    advice = f"Install Java {JAVA_VERSION} or newer (Debian: default-jre-headless), or set KAFKA_BOOTSTRAP_SERVERS."
    if shutil.which("java") is None:
        raise BrokerUnavailable(f"Apache Kafka needs Java, and `java` is not on the PATH. {advice}")
    found = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', found.stderr)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise BrokerUnavailable(f"Apache Kafka needs Java {JAVA_VERSION}, this is: {found.stderr[:80]!r}. {advice}")


def _run(arguments: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        arguments,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BrokerFailed(f"{arguments[-1]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
