"""Signing, classification, backoff, acknowledgements, addresses: the small rules of delivery."""

import subprocess
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from kernel.errors import ConfigurationError
from services.router.courier.addresses import is_public
from services.router.domain.acknowledgement import ends_duty, step
from services.router.domain.backoff import Backoff
from services.router.domain.classification import Answer, Failure, classify
from services.router.domain.signing import Signer, public_key

NOTICE = UUID("0192f0c4-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OLD, NEW = ("whsec_" + b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PRIVATE = "whsk_" + b64encode(bytes(range(32))).decode()
BODY = b'{"specversion":"1.0"}'


def test_v1_is_what_the_reference_library_accepts_with_either_key_of_a_rotation() -> None:
    headers = Signer.of([NEW, OLD], [PRIVATE]).headers(str(NOTICE), int(datetime.now(UTC).timestamp()), BODY)
    for secret in (OLD, NEW):
        Webhook(secret).verify(BODY, headers)


def test_v1_gives_the_published_kind_of_vector() -> None:
    headers = Signer.of(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], []).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_v1a_verifies_with_cryptography_and_with_openssl(tmp_path: Path) -> None:
    headers = Signer.of([], [PRIVATE]).headers(str(NOTICE), 1614265330, BODY)
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    signed = f"{NOTICE}.1614265330.".encode() + BODY
    public = Ed25519PublicKey.from_public_bytes(b64decode(public_key(PRIVATE).removeprefix("whpk_")))
    public.verify(b64decode(signature), signed)
    (tmp_path / "key.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "signature").write_bytes(b64decode(signature))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "signed"]
    subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???", "whsec_" + b64encode(b"short").decode(), "plain"])
def test_a_malformed_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Signer.of([secret], [])
    assert not secret or secret == "whsec_" or secret not in str(refused.value)


RECEIPT = b'{"received": "0192f0c4-0000-7000-8000-000000000001"}'


@pytest.mark.parametrize(
    ("ending", "outcome", "reached"),
    [
        (Answer(200, RECEIPT), "confirmed", True),
        (Answer(204), "retry", True),
        (Answer(200, b"<html>"), "retry", True),
        (Answer(200, b'{"received": "somebody else\'s"}'), "retry", True),
        (Answer(200, RECEIPT, truncated=True), "retry", True),
        (Answer(301), "retry", True),
        (Answer(404), "retry", True),
        (Answer(410), "held", True),
        (Answer(429), "retry", True),
        (Answer(503), "retry", True),
        (Failure("timeout"), "retry", True),
        (Failure("broken"), "retry", True),
        (Failure("connect"), "retry", False),
        (Failure("dns"), "retry", False),
        (Failure("address_refused"), "retry", False),
        (Failure("certificate"), "held", False),
    ],
)
def test_each_ending_has_one_meaning(ending: Answer | Failure, outcome: str, reached: bool) -> None:
    verdict = classify(ending, notice_id=NOTICE, confirmation="receipt", now=NOW)
    assert (verdict.outcome, verdict.reached) == (outcome, reached)


def test_any_2xx_confirms_only_where_the_contract_says_so() -> None:
    assert classify(Answer(204), notice_id=NOTICE, confirmation="any_2xx", now=NOW).outcome == "confirmed"
    assert classify(Answer(302), notice_id=NOTICE, confirmation="any_2xx", now=NOW).outcome == "retry"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("9" * 40, 999999999999.0),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    verdict = classify(Answer(503, b"", header), notice_id=NOTICE, confirmation="receipt", now=NOW)
    assert verdict.retry_after == seconds


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_backoff_never_ends_and_never_passes_its_cap(attempt: int, luck: float) -> None:
    policy = Backoff(base=0.5, cap=300)
    delay = policy.delay(attempt, lambda low, high: low + (high - low) * luck)
    assert 0.25 <= delay <= 300


@given(st.floats(0, 1e12), st.floats(0, 1))
def test_retry_after_is_kept_but_does_not_put_us_off_for_ever(wanted: float, luck: float) -> None:
    delay = Backoff().asked(wanted, lambda low, high: low + (high - low) * luck)
    assert min(wanted, 3600) <= delay <= 3600 * 1.1


@pytest.mark.parametrize(
    ("earlier", "status", "expected"),
    [
        ((), "received", "new"),
        ((), "done", "new"),
        (("received",), "received", "repeated"),
        (("received", "accepted"), "received", "repeated"),
        (("accepted",), "received", "contradicts"),
        (("accepted",), "rejected", "contradicts"),
        (("rejected",), "accepted", "new"),
        (("accepted", "done"), "done", "repeated"),
        (("done",), "rejected", "contradicts"),
    ],
)
def test_answers_only_go_forward(earlier: tuple[str, ...], status: str, expected: str) -> None:
    assert step(earlier, status) == expected  # type: ignore[arg-type]


def test_a_duty_ends_with_the_answer_that_its_contract_demands() -> None:
    assert ends_duty("accepted", "accepted")
    assert ends_duty("done", "accepted")
    assert not ends_duty("accepted", "done")
    assert not ends_duty("received", "accepted")
    assert not ends_duty("rejected", "accepted")


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "0.0.0.0",
        ),
        *(
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "203.0.113.9",
            "192.88.99.1",
        ),
        *("::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8"),
        *("64:ff9b::7f00:1", "64:ff9b:1::1", "2001:db8::1", "2002:7f00:1::", "2001::1", "fec0::1"),
    ],
)
def test_nobody_near_us_counts_as_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))
