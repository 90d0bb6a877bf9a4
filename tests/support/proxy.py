"""A network that can be made to fail between a client and a server: it swallows in silence, or cuts every connection.

What is swallowed is held back, as packets are that are sent again and again: when the network is back, it arrives. The
clients' and the server's connections stay open meanwhile and nobody is told anything, which is what a dead host or a
firewall that drops looks like. Loopback only, in a thread of its own, so that a busy test does not slow the network.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Direction = Literal["up", "down", "both"]
"""`up`: what clients send; `down`: what the server answers."""

_CHUNK = 65_536
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Upstream:
    """A server: on a loopback port, or behind a unix socket."""

    port: int | None = None
    socket: Path | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket is not None:
            return await asyncio.open_unix_connection(self.socket)
        assert self.port is not None
        return await asyncio.open_connection("127.0.0.1", self.port)


class Proxy:
    """Listens on a loopback port and carries every connection to the upstream server. All methods are blocking."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: dict[str, asyncio.Event] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    def start(self) -> Self:
        self._thread.start()
        self.port = self._do(self._listen())
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
        self._loop.close()

    def swallow(self, direction: Direction = "both") -> None:
        """From now on nothing passes in this direction; new connections are taken and lead nowhere."""

        def close() -> None:
            for one in _ways(direction):
                self._open[one].clear()

        self._call(close)

    def restore(self) -> None:
        """Everything passes again, beginning with what was held back."""

        def open_all() -> None:
            for way in self._open.values():
                way.set()

        self._call(open_all)

    def reset(self) -> None:
        """Cuts every connection at once, on both sides."""

        def cut() -> None:
            for one in self._connections:
                one.cancel()

        self._call(cut)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, change: Callable[[], None]) -> None:
        async def changed() -> None:
            change()

        self._do(changed())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)

    async def _listen(self) -> int:
        for way in ("up", "down"):
            self._open[way] = asyncio.Event()
            self._open[way].set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for one in self._connections:
            one.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._carry(reader, writer)
        finally:
            # Aborted, not closed in order: a connection that is cut says no farewell.
            writer.transport.abort()
            self._connections.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open["up"].wait()
        server_reader, server_writer = await self._upstream.connect()
        ways = [
            asyncio.create_task(self._pump(reader, server_writer, self._open["up"])),
            asyncio.create_task(self._pump(server_reader, writer, self._open["down"])),
        ]
        try:
            # Who hangs up first ends both ways: neither PostgreSQL's nor Kafka's protocol closes one half alone.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: asyncio.Event) -> None:
        while content := await reader.read(_CHUNK):
            await way.wait()
            writer.write(content)
            await writer.drain()
        # The end of a connection is a packet too.
        await way.wait()


def _ways(direction: Direction) -> tuple[str, ...]:
    return ("up", "down") if direction == "both" else (direction,)
