"""What child servers need from us: a data directory that one process owns, a leash, and loopback ports."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import psutil

from kernel.errors import FirstnoticeError

SERVES = "FIRSTNOTICE_SERVES"
"""Environment variable of a child: which data directory it works in. What it starts itself inherits it."""

_END_SECONDS = 60.0
_POLL_SECONDS = 0.02


class DataDirectoryInUse(FirstnoticeError):
    """Another live process owns this data directory."""


class ProcessesLeft(FirstnoticeError):
    """Processes of an owner that died cannot be ended."""


class Ownership:
    """An exclusive claim on a data directory that ends with this process, however it ends.

    It is a `flock`, so a SIGKILL releases it; the file's content (our pid) is only there to be told to people.

    Children carry `mark`. Should both we and their leashes be killed, the next owner finds them by it: unlike a pid
    file, it is there from their first moment on, is never stale, and names nobody else when a pid is given out again.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._file: IO[str] | None = None

    @property
    def mark(self) -> dict[str, str]:
        """The environment of whoever works in this directory, which exists; a copy of it elsewhere is another one."""
        found = self._data_dir.stat()
        return {SERVES: f"{found.st_dev}:{found.st_ino}:{self._data_dir}"}

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """The claim for a start: kept when the block succeeds, or when it was ours before; given up when it raises."""
        ours_before = self._file is not None
        self.claim()
        try:
            yield
        except BaseException:
            if not ours_before:
                self.release()
            raise

    def claim(self) -> None:
        """Take the claim, and end what a dead owner left at work here; a no-op when it is ours already.

        Blocking. Raises `DataDirectoryInUse`, `ProcessesLeft`.
        """
        if self._file is not None:
            return
        self._file = self._lock()
        try:
            end_all(lambda: _marked(self.mark[SERVES]))
        except BaseException:
            self.release()
            raise

    def _lock(self) -> IO[str]:
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (self._data_dir / "owner.lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise DataDirectoryInUse(
                f"{self._data_dir} is in use by process {owner}. Stop that process, or choose another data directory."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file

    def release(self) -> None:
        """Give the claim up; a no-op when it is not ours."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_live(process: psutil.Process) -> bool:
    """Whether it still holds files, locks and ports: a zombie does so only until the last of its threads has ended."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.Error:
        return False


def end_all(find: Callable[[], Iterable[psutil.Process]], seconds: float = _END_SECONDS) -> None:
    """SIGKILL for all that `find` finds, until it finds none and those are gone. Raises `ProcessesLeft`.

    Nobody has to reap them: in a container, whoever inherits orphans may never do so.
    """
    deadline = time.monotonic() + seconds
    found: set[psutil.Process] = set()
    while found := {process for process in found.union(find()) if is_live(process)}:
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in found)
            raise ProcessesLeft(f"processes of an earlier run do not end: {pids}. End them, or restart the machine.")
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_POLL_SECONDS)


def _marked(value: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(SERVES) == value:
                yield process


class Leash:
    """Kills a process with SIGKILL when this process dies, however it dies.

    A tiny shell waits for the end of a pipe that only we hold open. Unlike PR_SET_PDEATHSIG this also works on
    macOS, and does not kill the other merely because the thread that started it ended.
    """

    def __init__(self, pid: int) -> None:
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r _; kill -9 {pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let go, at the latest when the process has been reaped: its pid may then belong to somebody else."""
        self._watcher.kill()
        self._watcher.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()


class LeashedProcess:
    """A child process that cannot outlive us."""

    def __init__(
        self,
        arguments: list[str],
        *,
        output: Path,
        keep_output: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is added to ours; `keep_output` appends to what an earlier process wrote."""
        with output.open("ab" if keep_output else "wb") as log:
            self._child = subprocess.Popen(
                arguments,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is for us; we stop the child in order. Not a session of its own: Linux
                # compares the priorities of processes only within one (sched(7), autogroup).
                process_group=0,
            )
        self._leash = Leash(self._child.pid)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._child.poll()

    @property
    def running(self) -> bool:
        if self._child.poll() is None:
            return True
        self._leash.release()
        return False

    def terminate(self, timeout: float) -> None:
        """Ask with SIGTERM and wait; after `timeout` seconds, SIGKILL."""
        self._child.terminate()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._leash.release()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._child.kill()
        self._child.wait()
        self._leash.release()


def reserve_loopback_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that are ours until this process ends: for servers that may die and start again.

    While such a server is down, a port that was merely free would be anybody's: another program's, whose answers would
    then be taken for the server's, or an outgoing connection's. A socket that is bound and never listens keeps it. A
    server that binds to exactly this port with SO_REUSEADDR, as asyncio, uvicorn and Kafka do, gets it all the same;
    that is so on Linux (socket(7)) and not on BSD, where the port is only free when it is chosen.
    """
    holders = [_bound_socket() for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        if sys.platform == "linux":
            holder.detach()  # never closed: the system does that when we end
        else:
            holder.close()
    return ports


def _bound_socket() -> socket.socket:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log file, for error messages."""
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
