"""The data directory: keys are made once, by whatever number of starts, and lie where only their owner reads them."""

import stat
from pathlib import Path

import orjson
import pytest

from kernel.clock import system_clock
from kernel.errors import ConfigurationError
from kernel.identity import ClientRegistry, load_key, sign_request
from kernel.keyset import Keyset
from launcher.home import CLIENTS, Home, at, prepare, prepare_secrets, write_endpoints
from launcher.programs import PROGRAMS
from rulebook.loader import load_law
from services.router.adapters.endpoints import Endpoints

BASES = {name: f"http://127.0.0.1:{program.port}" for name, program in PROGRAMS.items()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = at(tmp_path / "var")
    prepare(made)
    write_endpoints(made, BASES)
    return made


def _contents(home: Home) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.secrets.rglob("*") if path.is_file()}


def test_a_second_start_changes_no_key(home: Home) -> None:
    before = _contents(home)
    prepare(home)
    write_endpoints(home, BASES)
    assert _contents(home) == before


def test_a_start_that_was_cut_off_is_completed_by_the_next(home: Home) -> None:
    before = _contents(home)
    home.clients.unlink()
    home.endpoints.unlink()
    prepare(home)
    write_endpoints(home, BASES)
    after = _contents(home)
    assert after.keys() == before.keys()
    assert {path: after[path] for path in before if path != home.clients} == {
        path: before[path] for path in before if path != home.clients
    }


def test_secrets_are_for_their_owner_only_and_outside_of_the_data(home: Home) -> None:
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o700
    private = [path for path in home.secrets.rglob("*") if path.is_file() and path != home.clients]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert not home.secrets.is_relative_to(home.postgres.parent)
    assert Keyset.load(home.keyset)


def test_every_registered_client_can_sign_a_request(home: Home) -> None:
    registry = ClientRegistry(home.clients, clock=system_clock)
    keys = {client.id: home.key_of(client.id) for client in CLIENTS}
    keys |= {one: home.recipient_secrets(p.name) / "key.json" for p in PROGRAMS.values() for one in p.recipients}
    for client_id, path in keys.items():
        token = sign_request(load_key(path), client_id, method="GET", path="/v1", body=b"", now=system_clock())
        assert registry.verify(token, method="GET", target="/v1").caller.client_id == client_id


def test_every_recipient_of_the_law_has_an_example_endpoint(home: Home) -> None:
    law = load_law()
    endpoints = Endpoints.load(home.endpoints)
    rows = (Path(__file__).resolve().parents[3] / "law" / "directory" / "mo_circuits.csv").read_text().splitlines()
    counties = {row.split(",")[2] for row in rows[1:]}
    today = system_clock().date()
    reached = {law.directory.resolve("juvenile_justice", "MO", county, today) for county in counties}
    reached |= {law.directory.resolve("social_services", "MO", None, today)}
    reached |= {law.directory.resolve("federal_hhs", "US", None, today)}
    answering = {one for program in PROGRAMS.values() for one in program.recipients}
    assert reached == answering
    assert all(endpoints.get(recipient) is not None for recipient in answering)


def test_endpoints_move_with_the_ports_and_leave_other_recipients_alone(home: Home) -> None:
    document = orjson.loads(home.endpoints.read_bytes())
    stranger = {"url": "https://notices.example.org/in", "secrets": ["whsec_" + "A" * 32]}
    document["endpoints"]["other-state"] = stranger
    home.endpoints.write_bytes(orjson.dumps(document))
    write_endpoints(home, BASES | {"dss": "http://127.0.0.1:1234"})
    now = orjson.loads(home.endpoints.read_bytes())["endpoints"]
    assert now["other-state"] == stranger
    assert now["mo-dss"]["url"] == "http://127.0.0.1:1234/{recipient_id}"
    assert now["mo-dss"]["secrets"] == document["endpoints"]["mo-dss"]["secrets"]
    assert stat.S_IMODE(home.endpoints.stat().st_mode) == 0o600


def test_a_broken_endpoints_file_is_not_overwritten(home: Home) -> None:
    home.endpoints.write_text("{")
    with pytest.raises(ConfigurationError, match="is not an endpoints file"):
        write_endpoints(home, BASES)
    assert home.endpoints.read_text() == "{"


def test_a_keyset_inside_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    class Careless(Home):
        @property
        def secrets(self) -> Path:
            return self.root / "data" / "secrets"

    with pytest.raises(ConfigurationError, match="outside the data directory"):
        prepare_secrets(Careless(tmp_path))
