"""What the transport connects to, and what it refuses: the tests that any HTTP client has to pass here."""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from services.router.adapters.endpoints import Endpoint, EndpointSpec, _endpoint
from services.router.courier.addresses import Addresses
from services.router.courier.transport import RESPONSE_CAP, PyreqwestTransport
from services.router.domain.classification import Answer, Failure, FailureKind
from tests.integration.router.house import LOOPBACK, SECRET
from tests.integration.router.receiver import Behaviour, Request, answer, drip, receiving, silence

HEADERS = {"content-type": "application/cloudevents+json"}


class Names:
    """A resolver that answers as the test says, and counts."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def transport(names: Names, *, seconds: float = 30.0, deadline: float = 3.0) -> PyreqwestTransport:
    return PyreqwestTransport(Addresses(names, seconds=seconds), monotonic=time.monotonic, deadline=deadline)


def an_endpoint(url: str, folder: Path = Path(), **more: Any) -> Endpoint:
    spec = EndpointSpec.model_validate({"url": url, "secrets": [SECRET]} | more)
    return _endpoint("mo-dss", spec, folder)


async def test_a_vetted_name_is_reached_at_its_pinned_address_with_its_own_host_header() -> None:
    async with receiving(answer(200, b"ok")) as receiver:
        client = transport(Names(("127.0.0.1",)))
        target = an_endpoint(f"http://dss.test:{receiver.port}/in", allowed_cidrs=LOOPBACK)
        assert await client.post(target, HEADERS, b"{}", 3.0) == Answer(200, b"ok")
        assert receiver.requests[0].headers["host"] == f"dss.test:{receiver.port}"
        await client.aclose()


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("93.184.216.34", "127.0.0.1"), ("::1",), ("::ffff:127.0.0.1",), ("169.254.169.254",)]
)
async def test_a_name_that_points_beside_us_is_never_connected_to(addresses: tuple[str, ...]) -> None:
    async with receiving() as receiver:
        client = transport(Names(addresses))
        target = an_endpoint(f"https://dss.test:{receiver.port}/")
        assert await client.post(target, HEADERS, b"{}", 3.0) == Failure("address_refused")
        assert receiver.connections == 0


async def test_a_name_that_is_rebound_to_loopback_is_refused_at_the_next_attempt() -> None:
    async with receiving(answer(200)) as honest, receiving(answer(200)) as trap:
        names = Names(("127.0.0.1",), ("127.0.0.2",))
        client = transport(names, seconds=0.0)
        target = an_endpoint(f"http://dss.test:{honest.port}/", allowed_cidrs=["127.0.0.1/32"])
        assert await client.post(target, HEADERS, b"{}", 3.0) == Answer(200)
        assert await client.post(target, HEADERS, b"{}", 3.0) == Failure("address_refused")
        assert (len(honest.requests), trap.connections) == (1, 0)
        await client.aclose()


async def test_a_name_is_asked_once_while_its_answer_holds() -> None:
    async with receiving(answer(200)) as receiver:
        names = Names(("127.0.0.1",))
        client = transport(names)
        target = an_endpoint(f"http://dss.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        for _ in range(5):
            await client.post(target, HEADERS, b"{}", 3.0)
        assert (names.asked, receiver.connections) == (1, 1)
        await client.aclose()


async def test_the_second_address_is_tried_when_the_first_is_dead() -> None:
    async with receiving(answer(200)) as receiver:
        client = transport(Names(("127.0.0.1", "127.0.0.2")))
        target = an_endpoint(f"http://dss.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        client._pinned["mo-dss"] = pinned = await client._vet(target)
        pinned.client = client._client(target, "127.0.0.2")  # nobody listens there
        assert await client.post(target, HEADERS, b"{}", 3.0) == Failure("connect")
        second = client._pinned["mo-dss"]
        assert second.turn == 1
        await client.aclose()


async def test_the_deadline_holds_for_the_whole_answer() -> None:
    async with receiving(drip) as receiver:
        client = transport(Names(("127.0.0.1",)), deadline=0.4)
        target = an_endpoint(f"http://dss.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        began = time.monotonic()
        assert await client.post(target, HEADERS, b"{}", 0.4) == Failure("timeout")
        assert time.monotonic() - began < 1.0
        await client.aclose()


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(("behaviour", "kind"), [(silence, "timeout"), (hang_up, "broken")])
async def test_a_request_that_may_have_been_read_is_never_called_a_failure_to_connect(
    behaviour: Behaviour, kind: FailureKind
) -> None:
    async with receiving(behaviour) as receiver:
        client = transport(Names(("127.0.0.1",)), deadline=0.3)
        target = an_endpoint(f"http://certificate.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        assert await client.post(target, HEADERS, b"{}", 0.3) == Failure(kind)
        await client.aclose()


async def test_no_more_than_the_cap_is_read() -> None:
    async with receiving(answer(200, b"x" * (RESPONSE_CAP + 1))) as receiver:
        client = transport(Names(("127.0.0.1",)))
        target = an_endpoint(f"http://dss.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        answered = await client.post(target, HEADERS, b"{}", 3.0)
        assert isinstance(answered, Answer)
        assert answered.truncated
        assert len(answered.body) == RESPONSE_CAP
        await client.aclose()


async def test_a_redirect_comes_back_as_it_is() -> None:
    async with receiving(answer(307, location="http://127.0.0.1:1/")) as receiver:
        client = transport(Names(("127.0.0.1",)))
        target = an_endpoint(f"http://dss.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        assert await client.post(target, HEADERS, b"{}", 3.0) == Answer(307)
        await client.aclose()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answer(200)) as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        client = transport(Names(("127.0.0.1",)))
        target = an_endpoint(f"http://dss.test:{receiver.port}/", allowed_cidrs=LOOPBACK)
        assert await client.post(target, HEADERS, b"{}", 3.0) == Answer(200)
        assert proxy.connections == 0
        await client.aclose()


async def test_certificates_are_checked_for_the_registered_name(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("dss.test").configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    (tmp_path / "stranger.pem").write_bytes(stranger.cert_pem.bytes())
    async with receiving(answer(200), tls=context) as receiver:
        expected = {
            ("dss.test", "ca.pem"): Answer(200),
            ("other.test", "ca.pem"): Failure("certificate"),
            ("dss.test", "stranger.pem"): Failure("certificate"),
        }
        for (host, ca_file), ending in expected.items():
            client = transport(Names(("127.0.0.1",)))
            url = f"https://{host}:{receiver.port}/"
            target = an_endpoint(url, tmp_path, allowed_cidrs=LOOPBACK, ca_file=ca_file)
            assert await client.post(target, HEADERS, b"{}", 3.0) == ending
            await client.aclose()


async def test_nobody_there_is_a_failure_to_connect() -> None:
    client = transport(Names(("127.0.0.1",)))
    target = an_endpoint("http://dss.test:1/", allowed_cidrs=LOOPBACK)
    assert await client.post(target, HEADERS, b"{}", 3.0) == Failure("connect")
    await client.aclose()
