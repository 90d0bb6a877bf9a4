"""What settings promise: every one is documented, and a wrong one is named without saying what was in it."""

from pathlib import Path

import pytest

from kernel.errors import ConfigurationError
from kernel.settings import ServiceSettings, load_settings, settings_table

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    given = {"database_dsn": "postgresql:///x", "keyset_file": "/k", "clients_file": "/c", **values}
    for name, value in given.items():
        monkeypatch.setenv("FIRSTNOTICE_" + name.upper(), value)


def test_the_document_is_what_the_code_says() -> None:
    """To write it anew: see the comment at the end of docs/settings.md."""
    assert settings_table(ServiceSettings) in DOCUMENT.read_text()


def test_every_setting_is_described() -> None:
    assert all(field.description for field in ServiceSettings.model_fields.values())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, bus="kafka", kafka_bootstrap_servers="127.0.0.1:9092", body_limit="1000")
    settings = load_settings(ServiceSettings, port=8470)
    assert (settings.bus, settings.body_limit, settings.port) == ("kafka", 1000, 8470)
    assert settings.host == "127.0.0.1"


def test_what_is_missing_or_wrong_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, port="Zq7canary", bus="Zq7canary")
    monkeypatch.delenv("FIRSTNOTICE_KEYSET_FILE")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ServiceSettings)
    for name in ("FIRSTNOTICE_PORT", "FIRSTNOTICE_BUS", "FIRSTNOTICE_KEYSET_FILE"):
        assert name in str(caught.value)
    assert "Zq7canary" not in str(caught.value)


def test_kafka_needs_its_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, bus="kafka")
    with pytest.raises(ConfigurationError, match="KAFKA_BOOTSTRAP_SERVERS"):
        load_settings(ServiceSettings)


def test_a_password_in_the_dsn_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, database_dsn="postgresql://u:Zq7canary@h/d")
    assert "Zq7canary" not in repr(load_settings(ServiceSettings))
