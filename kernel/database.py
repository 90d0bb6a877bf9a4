"""One way to open a transaction: a pool of the driver's connections, statements in batches, one commit.

Rows come and go in batches here (unnest, COPY), which the driver does at a third of the cost of SQLAlchemy's Core;
schema and migrations stay with SQLAlchemy and Alembic.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from kernel.errors import Unavailable

BEHIND = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""The database is not (or not yet, or no longer) as this release needs it: a plan made stale by a migration, a table,
column, function or right that is missing. Somebody heals it, and nothing is wrong with what was to be written."""

UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    *BEHIND,
)
"""What the driver raises on an open connection when the server is away, restarting, full, read-only or behind, undid a
transaction to end a deadlock, or let us wait too long for another's lock: try again later. No built-in error is in it:
what a caller raises inside a transaction stays what it is."""

NOT_CONNECTED = (OSError, asyncpg.InvalidCatalogNameError, asyncpg.InvalidParameterValueError, *UNAVAILABLE)
"""The same while connecting, where the network's own errors come bare (a `TimeoutError` is one of them), and where the
database or our role may not have been made yet."""

STATEMENT_SECONDS = 30
TRANSACTION_SECONDS = 40.0
"""A whole transaction, above the server's own limit for a statement: what the server would have ended by then is behind
a network that swallows everything."""
IDLE_SECONDS = 20
"""A session that holds locks for longer than its transactions says something every second. One that is silent for this
long is behind a dead network or stopped: the server ends it, and its locks are others' to take."""
_PING = (10, 5, 2)
"""TCP keepalive on both ends: idle seconds, seconds between probes, probes."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction, committed when the block that opened it ends."""

    driver: Any
    """The asyncpg connection: `execute`, `fetch`, `fetchrow`, `fetchval`, `executemany`, `copy_records_to_table`."""
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """Called once the transaction is durable, never when it is undone: to wake whoever waits for it."""
    last: list[tuple[Callable[["Transaction", list[Any]], Awaitable[None]], Any]] = field(default_factory=list)
    """What is written as the last act before the commit: a writer, and one item for it; each writer is called once with
    all its items. For what takes locks that many share: they are held only for the commit."""

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A nested transaction: an exception inside undoes only what was done, or put off, inside."""
        called, written = len(self.after_commit), len(self.last)
        try:
            async with self.driver.transaction():
                yield
        except BaseException:
            del self.after_commit[called:]
            del self.last[written:]
            raise

    async def write_last(self) -> None:
        """What was put off; the caller commits next."""
        items: dict[Callable[[Transaction, list[Any]], Awaitable[None]], list[Any]] = {}
        for writer, item in self.last:
            items.setdefault(writer, []).append(item)
        self.last.clear()
        for writer, its_items in items.items():
            await writer(self, its_items)


class Database:
    """Connections of one service to its own schema.

    `dsn` is a libpq URI (`postgresql://user@/name?host=...`); `schema` becomes the search path; `role`, if given, is
    taken by every connection, so that grants apply whoever logged in.
    """

    def __init__(
        self, dsn: str, *, schema: str, role: str | None = None, pool_size: int = 10, pool_timeout: float = 5.0
    ) -> None:
        self.schema = schema
        self._dsn = dsn
        self._role = role
        self._pool_timeout = pool_timeout
        self._session = {
            "search_path": schema,
            "application_name": f"firstnotice-{schema}",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
            "lock_timeout": "10s",
            "tcp_keepalives_idle": str(_PING[0]),
            "tcp_keepalives_interval": str(_PING[1]),
            "tcp_keepalives_count": str(_PING[2]),
            "tcp_user_timeout": f"{IDLE_SECONDS}s",
            "timezone": "UTC",
            "jit": "off",
        }
        if role is not None:
            self._session["role"] = role
        self._size = pool_size
        self._pool: Any = None
        self._opening = asyncio.Lock()

    def reserved(self, size: int) -> "Database":
        """The same database with connections of its own, so that nobody else's requests can use them up."""
        return Database(self._dsn, schema=self.schema, role=self._role, pool_size=size, pool_timeout=self._pool_timeout)

    async def session(self, **settings: str) -> Any:
        """A connection of one's own, for locks that outlive a transaction; `terminate` it in the end.

        Its owner says something at least every second: after IDLE_SECONDS of silence the server ends it, and frees its
        locks. Raises NOT_CONNECTED; its calls raise UNAVAILABLE, or TimeoutError when nothing answers.
        """
        return await self.connect(
            self._dsn,
            command_timeout=IDLE_SECONDS / 2,
            server_settings=self._session | {"idle_session_timeout": f"{IDLE_SECONDS}s"} | settings,
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, undoes everything when it raises. Raises Unavailable."""
        pool = await self._opened()
        connection = await self._acquired(pool)
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS) as limit:
                transaction = connection.transaction()
                await transaction.start()
                tx = Transaction(connection)
                try:
                    yield tx
                    await tx.write_last()
                except BaseException:
                    await self._undo(connection, transaction, hangs=limit.expired())
                    raise
                await transaction.commit()
            for call in tx.after_commit:
                call()
        except UNAVAILABLE as error:
            # Nobody shall get this connection again, whatever state it is in.
            _end(connection)
            if isinstance(error, BEHIND):
                # The plans of the others are as old.
                await pool.expire_connections()
                reason = "lacks what this release needs, or has just been migrated"
            else:
                reason = "does not answer"
            raise Unavailable(f"the database {reason} ({type(error).__name__})") from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            _end(connection)
            raise Unavailable(f"the database did not answer within {TRANSACTION_SECONDS:.0f} s") from error
        finally:
            # Giving back may fail as well, and must not hide why we are here: a cancellation, for instance.
            with suppress(*NOT_CONNECTED):
                await pool.release(connection)

    async def check(self) -> None:
        """Raises Unavailable when no transaction can be made."""
        async with self.transaction() as tx:
            await tx.driver.fetchval("SELECT 1")

    async def close(self) -> None:
        """Waits for nobody: what is still under way is undone."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _opened(self) -> Any:
        """The pool, made at its first use: services are wired before there is a loop, or a database."""
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._dsn,
                        min_size=0,
                        max_size=self._size,
                        connect=self.connect,
                        reset=_leave_as_it_is,
                        server_settings=self._session,
                    )
        return self._pool

    async def _acquired(self, pool: Any) -> Any:
        try:
            return await pool.acquire(timeout=self._pool_timeout)
        except TimeoutError:
            raise Unavailable("all database connections are busy, or none can be made") from None
        except NOT_CONNECTED as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error

    async def _undo(self, connection: Any, transaction: Any, *, hangs: bool) -> None:
        if not hangs:
            # The driver's pool lets go of a connection that broke: what is left of it answers nothing.
            with suppress(*NOT_CONNECTED):
                async with asyncio.timeout(2):
                    await transaction.rollback()
                return
        _end(connection)

    async def connect(self, *args: Any, **settings: Any) -> Any:
        """A bare connection, for the pool and for `session`. Raises NOT_CONNECTED."""
        connection = await asyncpg.connect(*args, timeout=10, **settings)
        # The driver has no option for these.
        end: socket.socket = connection._transport.get_extra_info("socket")
        if end.family in (socket.AF_INET, socket.AF_INET6):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _PING, strict=True):
                if hasattr(socket, name):
                    end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, IDLE_SECONDS * 1000)
        return connection


def _end(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has done so already
        connection.terminate()


async def _leave_as_it_is(connection: Any) -> None:
    """Instead of the pool's own reset, a round trip per transaction: nobody here changes a session."""


__all__ = ["BEHIND", "NOT_CONNECTED", "UNAVAILABLE", "Database", "Transaction"]
