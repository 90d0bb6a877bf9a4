"""The data directory of a trial: what lies where, and the keys that are made at the first start.

data/        postgres/ and kafka/: copy it, and nobody can read it without secrets/
secrets/     keyset, clients and their private keys, endpoints of the recipients; only the owner may read it
recipients/  what the example recipients were told
logs/
"""

import os
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from kernel.errors import ConfigurationError
from kernel.identity import Kind, SigningKey, client_entry, generate_key, load_key, save_key, write_clients
from kernel.keyset import Keyset
from launcher.programs import PROGRAMS, Program

LOOPBACK = "127.0.0.0/8"


@dataclass(frozen=True)
class Client:
    """A client that the first start registers; its private key is for `firstnotice send` and `firstnotice token`."""

    id: str
    kind: Kind
    scopes: frozenset[str]
    agencies: frozenset[str] = frozenset()


_REPORTING = frozenset({"encounters:write", "encounters:read"})

CLIENTS = (
    Client("springfield-pd", "agency", _REPORTING, frozenset({"MO0390100"})),
    Client("jackson-county-so", "agency", _REPORTING, frozenset({"MO0480000"})),
    Client("highway-patrol", "agency", _REPORTING, frozenset({"MOMHP0000"})),
    Client("auditor", "auditor", frozenset({"trail:read"})),
    Client("operator", "operator", frozenset({"trail:read", "metrics:read", "eligibility:screen"})),
)


@dataclass(frozen=True)
class Home:
    """The paths of one data directory."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "data" / "postgres"

    @property
    def kafka(self) -> Path:
        return self.root / "data" / "kafka"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def keyset(self) -> Path:
        return self.secrets / "keyset.json"

    @property
    def clients(self) -> Path:
        return self.secrets / "clients.json"

    @property
    def endpoints(self) -> Path:
        return self.secrets / "endpoints.json"

    @property
    def database_secrets(self) -> Path:
        """`password`, and the same as a libpq password file, `pgpass`."""
        return self.secrets / "database"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def key_of(self, client_id: str) -> Path:
        """The private key (JWK) of an agency, the auditor or the operator."""
        return self.secrets / "keys" / f"{client_id}.json"

    def recipient_secrets(self, program: str) -> Path:
        """What an example recipient holds: `key.json` to acknowledge with, `webhook-secret` to verify with."""
        return self.secrets / "recipients" / program

    def ledger(self, program: str) -> Path:
        return self.root / "recipients" / program / "ledger.jsonl"

    def client_of(self, agency: str) -> str:
        """The registered client that reports for an agency. Raises ConfigurationError."""
        for client in CLIENTS:
            if agency in client.agencies:
                return client.id
        known = ", ".join(sorted(agency for client in CLIENTS for agency in client.agencies))
        raise ConfigurationError(f"no client reports for this agency here; the examples know {known}")


def at(directory: Path) -> Home:
    return Home(directory.resolve())


def prepare(home: Home) -> None:
    """Makes what is missing and touches nothing that is there, so that a start that was cut off is simply repeated."""
    for directory in (home.root, home.logs, home.root / "data"):
        directory.mkdir(parents=True, exist_ok=True)
    prepare_secrets(home)


def prepare_secrets(home: Home) -> None:
    """Keyset, client keys, clients file, the recipients' own secrets and a database password, each made once.

    The embedded server knows no password; `docker-compose.yml` gives this one to PostgreSQL and to the services.
    """
    for directory in (home.secrets, home.secrets / "keys", home.secrets / "recipients", home.database_secrets):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    Keyset.create(home.keyset, data_directory=home.root / "data")
    _keep(home.database_secrets / "password", secrets.token_urlsafe(32).encode())
    _keep(home.database_secrets / "pgpass", b"*:*:*:*:" + (home.database_secrets / "password").read_bytes() + b"\n")
    entries = [
        client_entry(
            client.id, client.kind, _key(home.key_of(client.id)), scopes=client.scopes, agencies=client.agencies
        )
        for client in CLIENTS
    ]
    for program in PROGRAMS.values():
        folder = home.recipient_secrets(program.name)
        folder.mkdir(exist_ok=True, mode=0o700)
        key = _key(folder / "key.json")
        _keep(folder / "webhook-secret", b"whsec_" + b64encode(secrets.token_bytes(32)) + b"\n")
        entries += [
            client_entry(
                recipient, "recipient", key, scopes={"notices:acknowledge"} | program.scopes, recipient_id=recipient
            )
            for recipient in program.recipients
        ]
    if not home.clients.exists():
        write_clients(home.clients, entries)


def write_endpoints(home: Home, bases: Mapping[str, str], network: str = LOOPBACK) -> None:
    """Registers the example recipients where they listen now; entries of other recipients stay as they are.

    `bases` gives each program's URL; `network` is the only one in which they may be.
    """
    try:
        endpoints = orjson.loads(home.endpoints.read_bytes())["endpoints"]
    except FileNotFoundError:
        endpoints = {}
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{home.endpoints} is not an endpoints file: correct it or remove it") from None
    registered = endpoints | {
        program.endpoint: {
            "url": f"{bases[program.name]}/{{recipient_id}}",
            "secrets": [(home.recipient_secrets(program.name) / "webhook-secret").read_text().strip()],
            "allowed_cidrs": [network],
        }
        for program in PROGRAMS.values()
    }
    if registered != endpoints:
        draft = _draft(home.endpoints, orjson.dumps({"endpoints": registered}, option=orjson.OPT_INDENT_2))
        os.replace(draft, home.endpoints)


def program_bases(ports: Mapping[str, int]) -> dict[str, str]:
    """Where the example recipients listen on this machine."""
    return {name: f"http://127.0.0.1:{ports[name]}" for name in PROGRAMS}


def _key(path: Path) -> SigningKey:
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        save_key(generate_key(), draft)
        _put(draft, path)
    return load_key(path)


def _keep(path: Path, content: bytes) -> None:
    if not path.exists():
        _put(_draft(path, content), path)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _put(draft: Path, path: Path) -> None:
    """The draft becomes the file unless there is one: half a file is never seen, and no key is ever replaced."""
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


__all__ = ["CLIENTS", "Home", "Program", "at", "prepare", "prepare_secrets", "program_bases", "write_endpoints"]
