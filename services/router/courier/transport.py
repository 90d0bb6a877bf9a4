"""The one way out: POST to a vetted address, within an absolute deadline, reading no more than the cap.

One client per endpoint, pinned to the addresses that were vetted; it is replaced when they change. pyreqwest was
chosen by measurement: `docs/decisions/0005-http-client-of-the-courier.md`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError, RequestTimeoutError

from services.router.adapters.endpoints import Endpoint
from services.router.courier.addresses import Addresses, AddressRefused, NameUnresolved
from services.router.domain.classification import Answer, Failure

RESPONSE_CAP = 64 * 1024
_CONNECTING = "client error (connect)"

CLOSE_AFTER_SECONDS = 60.0
"""A replaced client lives on this long for the attempts that still use it."""


class Transport(Protocol):
    """Sends one attempt; every way it can end is a value."""

    async def post(
        self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Answer | Failure:
        """`deadline` in seconds from now, for everything: name, connection, response to its last byte."""
        ...


@dataclass(slots=True)
class _Pinned:
    """A client for one version of an endpoint at one set of addresses."""

    fingerprint: str
    addresses: tuple[str, ...]
    checked_until: float
    client: Client
    turn: int = 0
    in_use: int = field(default=0)


class PyreqwestTransport:
    """Clients of pyreqwest (hyper and rustls), one per endpoint."""

    def __init__(self, addresses: Addresses, *, monotonic: Callable[[], float], deadline: float) -> None:
        self._addresses = addresses
        self._monotonic = monotonic
        self._deadline = deadline
        self._pinned: dict[str, _Pinned] = {}
        self._vetting: dict[str, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def post(
        self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Answer | Failure:
        started = self._monotonic()
        pinned = self._pinned.get(endpoint.recipient_id)
        if pinned is None or pinned.checked_until <= started or pinned.fingerprint != endpoint.fingerprint:
            try:
                async with asyncio.timeout(deadline):
                    pinned = await self._vet(endpoint)
            except AddressRefused:
                return Failure("address_refused")
            except (NameUnresolved, TimeoutError):
                return Failure("dns")
            deadline -= self._monotonic() - started
        try:
            request = pinned.client.post(endpoint.url).headers(headers).body_bytes(body)
            if deadline != self._deadline:
                request = request.timeout(timedelta(seconds=max(deadline, 0.001)))
            async with request.streamed_read_buffer_limit(RESPONSE_CAP).build_streamed() as response:
                content = bytearray()
                truncated = False
                while (chunk := await response.body_reader.read_chunk()) is not None:
                    content += chunk
                    if len(content) > RESPONSE_CAP:
                        truncated = True
                        break
                return Answer(
                    response.status, bytes(content[:RESPONSE_CAP]), response.get_header("retry-after"), truncated
                )
        except PyreqwestError as error:
            failure = _failure(error)
            if failure.kind == "connect" and len(pinned.addresses) > 1:
                self._next_address(endpoint, pinned)
            return failure

    async def aclose(self) -> None:
        """Closes every client."""
        for task in tuple(self._closing):
            task.cancel()
        for pinned in self._pinned.values():
            await pinned.client.close()
        self._pinned.clear()

    async def _vet(self, endpoint: Endpoint) -> _Pinned:
        """The client for the endpoint as it is now. Names are asked again when the last answer has expired."""
        async with self._vetting.setdefault(endpoint.recipient_id, asyncio.Lock()):
            now = self._monotonic()
            pinned = self._pinned.get(endpoint.recipient_id)
            same = pinned is not None and pinned.fingerprint == endpoint.fingerprint
            if pinned is not None and same and pinned.checked_until > now:
                return pinned
            try:
                vetted = await self._addresses.vet(endpoint)
            except AddressRefused:
                # Connections that were opened to the old address must not be used either.
                self._replace(endpoint.recipient_id, None)
                raise
            if pinned is not None and same and vetted.addresses == pinned.addresses:
                pinned.checked_until = now + vetted.seconds
                return pinned
            fresh = _Pinned(
                endpoint.fingerprint,
                vetted.addresses,
                now + vetted.seconds,
                self._client(endpoint, vetted.addresses[0]),
            )
            self._replace(endpoint.recipient_id, fresh)
            return fresh

    def _next_address(self, endpoint: Endpoint, failed: _Pinned) -> None:
        if self._pinned.get(endpoint.recipient_id) is not failed:
            return
        turn = (failed.turn + 1) % len(failed.addresses)
        client = self._client(endpoint, failed.addresses[turn])
        fresh = _Pinned(failed.fingerprint, failed.addresses, failed.checked_until, client, turn)
        self._replace(endpoint.recipient_id, fresh)

    def _client(self, endpoint: Endpoint, address: str) -> Client:
        builder = (
            ClientBuilder()
            .follow_redirects(False)
            .no_proxy()
            .referer(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .timeout(timedelta(seconds=self._deadline))
            .pool_max_idle_per_host(endpoint.concurrency)
            .pool_idle_timeout(timedelta(seconds=30))
            .user_agent("firstnotice/1")
            .resolve(endpoint.host, address, endpoint.port)
        )
        if endpoint.url.startswith("https:"):
            builder = builder.https_only(True)
        if endpoint.trusted_certificates is not None:
            builder = builder.add_root_certificate_pem(endpoint.trusted_certificates)
        if endpoint.client_identity is not None:
            builder = builder.identity_pem(endpoint.client_identity)
        return builder.build()

    def _replace(self, recipient_id: str, fresh: _Pinned | None) -> None:
        old = self._pinned.pop(recipient_id, None)
        if fresh is not None:
            self._pinned[recipient_id] = fresh
        if old is not None:
            task = asyncio.create_task(self._close_later(old.client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_later(self, client: Client) -> None:
        await asyncio.sleep(CLOSE_AFTER_SECONDS)
        await client.close()


def _failure(error: PyreqwestError) -> Failure:
    """pyreqwest calls everything before the response's head a connection error, also when the request was sent:
    only hyper's own word for the phase, among the causes, proves that nothing left."""
    causes = error.details["causes"] or () if isinstance(error, DetailedPyreqwestError) else ()
    told = [cause["message"].lower() for cause in causes]
    if _CONNECTING in told:
        reasons = told[told.index(_CONNECTING) + 1 :]
        return Failure("certificate" if any("certificate" in reason for reason in reasons) else "connect")
    return Failure("timeout" if isinstance(error, RequestTimeoutError) else "broken")
