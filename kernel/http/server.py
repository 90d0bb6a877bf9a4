"""Runs the web application of a service inside our own event loop, and stops it in an order that loses no request."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kernel import telemetry
from kernel.errors import ConfigurationError
from kernel.settings import HttpSettings

_log = telemetry.logger(__name__)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the launcher: it knows what else has to stop, and in which order."""
        yield


def _bounded(header_limit: int, read_seconds: float) -> type[HttpToolsProtocol]:
    """The protocol with what uvicorn leaves open: a limit and a deadline for headers that are not complete yet."""

    class Bounded(HttpToolsProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._head_bytes = 0
            self._in_head = True
            self._deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline = self.loop.call_later(read_seconds, self._refuse, b"408 Request Timeout")

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head and self.parser is not None:
                self._head_bytes += len(data)
                if self._head_bytes > header_limit:
                    self._refuse(b"431 Request Header Fields Too Large")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head, self._head_bytes = True, 0
            if self._deadline is None:
                self._deadline = self.loop.call_later(read_seconds, self._refuse, b"408 Request Timeout")

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._disarm()
            super().on_headers_complete()

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _refuse(self, status: bytes) -> None:
            self._disarm()
            if not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                self.transport.close()

    return Bounded


Pause = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""


async def serve(app: FastAPI, host: str, port: int, stop: asyncio.Event, *, pause: Pause = asyncio.sleep) -> None:
    """Serves until `stop` is set. Then, in this order: /readyz turns 503, after a pause listening ends, open requests
    finish, the application's lifespan ends. Port 0 takes any free port: `app.state.port` holds it once requests are
    taken.

    Raises ConfigurationError when the port is taken, and whatever the lifespan raises.
    """
    settings: HttpSettings = app.state.http_settings
    config = uvicorn.Config(
        app,
        http=_bounded(settings.header_limit, settings.read_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    server = _Server(config)
    # Entered here rather than by uvicorn, so that what goes wrong in it reaches whoever started us as what it is.
    async with app.router.lifespan_context(app):
        with _listen(host, port) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            stopping = asyncio.create_task(stop.wait())
            app.state.port = listener.getsockname()[1]
            _log.info("listening", host=host, port=app.state.port)
            try:
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
                app.state.stopping = True
                await pause(settings.drain_seconds)
            finally:
                stopping.cancel()
                server.should_exit = True
                await serving
    _log.info("stopped", host=host, port=app.state.port)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
