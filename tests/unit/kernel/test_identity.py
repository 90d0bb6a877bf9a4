"""What tokens promise: only a registered key, only now, only for this request."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from kernel import identity
from kernel.errors import ConfigurationError, Unauthenticated
from kernel.identity import ClientRegistry, SigningKey, check_body, client_entry, sign_request

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BODY = b'{"a":1}'
KEY = identity.generate_key("rms-1")


def registry_of(path: Path, *entries: dict[str, Any], monotonic: Callable[[], float] = lambda: 0.0) -> ClientRegistry:
    identity.write_clients(path, list(entries))
    return ClientRegistry(path, clock=lambda: NOW, monotonic=monotonic)


def agency(key: SigningKey = KEY, client_id: str = "rms") -> dict[str, Any]:
    return client_entry(client_id, "agency", key, scopes={"encounters:write"}, agencies={"MO0010000"})


@pytest.fixture
def registry(tmp_path: Path) -> ClientRegistry:
    return registry_of(tmp_path / "clients.json", agency())


def claims(**changes: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    made = {
        "iss": "rms",
        "sub": "rms",
        "aud": "firstnotice",
        "iat": now,
        "exp": now + 120,
        "jti": "t-1",
        "htm": "POST",
        "htp": "/v1/encounters",
        "bsha": identity.body_digest(BODY),
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def token(key: Any = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    algorithms = ["ES256", "Ed25519", "EdDSA", "HS256", "ES384"]
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    return jwt.encode({"alg": "Ed25519"} | (header or {}), claims(**changes), key, registry=registry)


def test_a_signed_request_names_its_caller(registry: ClientRegistry) -> None:
    signed = sign_request(KEY, "rms", method="POST", path="/v1/encounters?x=1", body=BODY, now=NOW, jti="t-9")
    verified = registry.verify(signed, method="POST", target="/v1/encounters?x=1")
    check_body(verified, BODY)
    caller = verified.caller
    assert (caller.client_id, caller.kind, caller.token_id) == ("rms", "agency", "t-9")
    assert caller.agencies == {"MO0010000"}
    assert caller.scopes == {"encounters:write"}


@pytest.mark.parametrize(
    ("key", "algorithm"), [(KEY, "EdDSA"), (KEY, "Ed25519"), (ECKey.generate_key("P-256", {"kid": "e"}), "ES256")]
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_the_allowed_algorithms_work(tmp_path: Path, key: SigningKey, algorithm: str) -> None:
    registry = registry_of(tmp_path / "clients.json", agency(key))
    assert registry.verify(token(key, {"alg": algorithm}), method="POST", target="/v1/encounters")


SECONDS = int(NOW.timestamp())
REFUSED: dict[str, dict[str, Any]] = {
    "unknown client": {"iss": "other", "sub": "other"},
    "issuer without subject": {"sub": None},
    "another subject": {"sub": "other"},
    "another audience": {"aud": "elsewhere"},
    "no audience": {"aud": None},
    "expired": {"iat": SECONDS - 120, "exp": SECONDS},
    "too long a life": {"exp": SECONDS + 301},
    "an endless life": {"exp": None},
    "no start": {"iat": None},
    "from the future": {"iat": SECONDS + 31, "exp": SECONDS + 60},
    "not before later": {"nbf": SECONDS + 31},
    "times as text": {"exp": str(SECONDS + 60)},
    "times as booleans": {"nbf": True},
    "no token id": {"jti": None},
    "a number as token id": {"jti": 7},
    "an endless token id": {"jti": "x" * 129},
    "another method": {"htm": "PUT"},
    "no method": {"htm": None},
    "another path": {"htp": "/v1/encounters/1"},
    "no path": {"htp": None},
    "no body digest": {"bsha": None},
    "a number as body digest": {"bsha": 7},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_a_token_that_says_something_else_is_refused(registry: ClientRegistry, changes: dict[str, Any]) -> None:
    assert registry.verify(token(), method="POST", target="/v1/encounters")
    with pytest.raises(Unauthenticated):
        registry.verify(token(**changes), method="POST", target="/v1/encounters")


def test_a_token_for_another_body_is_refused(registry: ClientRegistry) -> None:
    verified = registry.verify(token(), method="POST", target="/v1/encounters")
    with pytest.raises(Unauthenticated, match="bsha"):
        check_body(verified, BODY + b" ")


def test_a_request_that_changes_nothing_needs_no_binding_but_keeps_one(registry: ClientRegistry) -> None:
    free = token(htm=None, htp=None, bsha=None)
    check_body(registry.verify(free, method="GET", target="/v1/encounters/1"), b"")
    with pytest.raises(Unauthenticated):
        registry.verify(token(), method="GET", target="/v1/encounters")


def forged(header: dict[str, Any]) -> str:
    parts = [urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in (header, claims())]
    return ".".join([*parts, "AAAA"])


def with_header(**members: Any) -> str:
    """Rightly signed, with a header that our own signer would not make."""
    header = {"alg": "Ed25519", **members}
    parts = [urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in (header, claims())]
    signature = KEY.get_op_key("sign").sign(b".".join(parts))  # type: ignore[union-attr]
    return b".".join([*parts, urlsafe_b64encode(signature).rstrip(b"=")]).decode()


PUBLIC: dict[str, Any] = KEY.as_dict(private=False)
FORGED: dict[str, str] = {
    "no algorithm": forged({"alg": "none"}),
    "an unsigned token": forged({"alg": "none"}).rpartition(".")[0] + ".",
    "the public key as HMAC secret": token(OctKey.import_key(PUBLIC["x"].encode()), {"alg": "HS256"}),
    "another curve": token(ECKey.generate_key("P-384"), {"alg": "ES384"}),
    "a stranger's key": token(OKPKey.generate_key("Ed25519")),
    "a stranger's key of the same name": token(OKPKey.generate_key("Ed25519"), {"kid": "rms-1"}),
    "the algorithm of another key type": forged({"alg": "ES256"}),
    "a key that it brings along": token(OKPKey.generate_key("Ed25519"), {"jwk": PUBLIC}),
    "a key to fetch": with_header(jku="http://127.0.0.1/jwks"),
    "a certificate to fetch": with_header(x5u="http://127.0.0.1/cert"),
    "a critical extension": with_header(crit=["exp"], exp=1),
    "an unencoded payload": with_header(b64=False),
    "another key id": token(KEY, {"kid": "rms-2"}),
    "an altered signature": token()[:-6] + "AAAAAA",
    "no signature": token().rpartition(".")[0],
    "five parts": token() + ".a.b",
    "nothing": "",
    "noise": "a.b.c",
    "not ASCII": "\u00e9.\u00e9.\u00e9",
    "a token too long": token(padding="x" * 5000),
}


@pytest.mark.parametrize("signed", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(registry: ClientRegistry, signed: str) -> None:
    assert registry.verify(with_header(typ="JWT"), method="POST", target="/v1/encounters")
    with pytest.raises(Unauthenticated):
        registry.verify(signed, method="POST", target="/v1/encounters")


def test_strangers_do_not_learn_who_is_registered(registry: ClientRegistry) -> None:
    answers = set()
    claimed: list[dict[str, Any]] = [{}, {"iss": "nobody", "sub": "nobody"}]
    for changes in claimed:
        with pytest.raises(Unauthenticated) as caught:
            registry.verify(token(identity.generate_key("k"), **changes), method="POST", target="/v1/encounters")
        answers.add(caught.value.detail)
    assert len(answers) == 1


def test_a_changed_file_counts_within_a_second_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    time = [0.0]
    path = tmp_path / "clients.json"
    registry = registry_of(path, agency(), monotonic=lambda: time[0])
    new = identity.generate_key("rms-2")
    identity.write_clients(path, [agency(new)])
    time[0] += 1.1
    assert registry.verify(token(new), method="POST", target="/v1/encounters")
    with pytest.raises(Unauthenticated):
        registry.verify(token(KEY), method="POST", target="/v1/encounters")
    path.write_text("{")
    time[0] += 1.1
    assert registry.verify(token(new), method="POST", target="/v1/encounters")


def test_two_keys_overlap_while_one_is_replaced(tmp_path: Path) -> None:
    new = identity.generate_key("rms-2")
    entry = agency()
    entry["keys"].append(new.as_dict(private=False))
    registry = registry_of(tmp_path / "clients.json", entry)
    for key in (KEY, new):
        signed = sign_request(key, "rms", method="POST", path="/v1/x", body=b"", now=NOW)
        check_body(registry.verify(signed, method="POST", target="/v1/x"), b"")


MALFORMED: dict[str, Any] = {
    "no clients": {},
    "no keys": {"clients": [agency() | {"keys": []}]},
    "an unknown member": {"clients": [agency() | {"admin": True}]},
    "an unknown kind": {"clients": [agency() | {"kind": "root"}]},
    "a private key": {"clients": [agency() | {"keys": [KEY.as_dict(private=True)]}]},
    "a symmetric key": {"clients": [agency() | {"keys": [{"kty": "oct", "k": "AAAA"}]}]},
    "a weak curve": {"clients": [agency() | {"keys": [ECKey.generate_key("secp256k1").as_dict(private=False)]}]},
    "a client twice": {"clients": [agency(), agency()]},
}


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_clients_file_is_refused_without_quoting_it(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "clients.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(ConfigurationError) as caught:
        ClientRegistry(path, clock=lambda: NOW)
    assert str(KEY.as_dict(private=True)["d"]) not in str(caught.value)


def test_clients_may_be_written_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "clients.yaml"
    x = PUBLIC["x"]
    path.write_text(
        f"clients:\n- id: rms\n  kind: agency\n  scopes: [encounters:write]\n"
        f"  keys: [{{kty: OKP, crv: Ed25519, x: {x}}}]\n"
    )
    assert ClientRegistry(path, clock=lambda: NOW).verify(token(), method="POST", target="/v1/encounters")


def test_a_saved_key_is_private_and_signs(tmp_path: Path, registry: ClientRegistry) -> None:
    path = tmp_path / "rms.jwk"
    identity.save_key(KEY, path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    signed = sign_request(identity.load_key(path), "rms", method="POST", path="/v1/x", body=b"", now=NOW)
    assert registry.verify(signed, method="POST", target="/v1/x")
    with pytest.raises(FileExistsError):
        identity.save_key(KEY, path)
    with pytest.raises(ConfigurationError):
        identity.load_key(tmp_path / "missing")


def test_lifetime_is_the_longest_that_is_taken(registry: ClientRegistry) -> None:
    for lifetime, accepted in ((timedelta(minutes=5), True), (timedelta(minutes=5, seconds=1), False)):
        signed = sign_request(KEY, "rms", method="GET", path="/v1/x", body=b"", now=NOW, lifetime=lifetime)
        if accepted:
            assert registry.verify(signed, method="GET", target="/v1/x")
        else:
            with pytest.raises(Unauthenticated):
                registry.verify(signed, method="GET", target="/v1/x")
