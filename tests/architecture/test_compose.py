"""docker-compose.yml and the Dockerfile name only what exists, and open nothing to the network."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from compose_spec import PyCompose

from contracts.events import TOPICS
from kernel.settings import PREFIX, load_settings
from launcher.catalogue import SERVICES, settings_class
from launcher.cli import app
from launcher.programs import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("firstnotice")}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def test_the_compose_file_follows_the_compose_specification() -> None:
    PyCompose.from_yaml(TEXT).validate()


@pytest.mark.parametrize("slip", ["restart: unles-stopped", "depends_on: [nobody]", "helthcheck: {}"])
def test_a_slip_in_the_compose_file_is_found(slip: str) -> None:
    broken = TEXT.replace(
        "    image: apache/kafka:4.1.0\n    restart: unless-stopped", f"    image: apache/kafka:4.1.0\n    {slip}"
    )
    assert broken != TEXT
    with pytest.raises(ValueError, match=r"."):
        _whole(broken)


def _whole(text: str) -> None:
    PyCompose.from_yaml(text).validate()
    document = yaml.safe_load(text)
    for service in document["services"].values():
        if strangers := set(service.get("depends_on", ())) - set(document["services"]):
            raise ValueError(f"depends on {strangers}")


def test_every_service_and_every_example_recipient_has_its_container() -> None:
    _whole(TEXT)
    assert set(SERVICES) | set(PROGRAMS) <= set(OURS)


@pytest.mark.parametrize("name", [name for name in OURS if "command" in OURS[name]])
def test_every_command_of_a_container_is_one_that_the_program_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in OURS[name].get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    command, *arguments = OURS[name]["command"]
    COMMANDS[command].make_context(command, list(arguments))
    if name in PROGRAMS:
        assert (command, arguments[0]) == ("recipients", name)
    else:
        assert command == name


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_service_exists_and_is_enough(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = OURS[service]["environment"]
    cls = settings_class(service)
    for variable in environment:
        if variable.startswith(PREFIX):
            assert variable.removeprefix(PREFIX).lower() in cls.model_fields, variable
        monkeypatch.setenv(variable, environment[variable])
    settings = load_settings(cls)
    assert settings.bus == "kafka"
    assert OURS[service]["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    mounted = [Path(volume.split(":")[1]) for volume in OURS[service]["volumes"]]
    for field in cls.model_fields:
        if field.endswith("_file"):
            assert any(getattr(settings, field).is_relative_to(folder) for folder in mounted), field


def test_every_setting_of_a_one_off_job_is_one_that_its_command_reads() -> None:
    for name in set(OURS) - set(SERVICES):
        read = {parameter.envvar for parameter in COMMANDS[name].params} if name in COMMANDS else set()
        named = {variable for variable in OURS[name].get("environment", {}) if variable.startswith(PREFIX)}
        assert named <= read, name


def test_topics_are_made_by_the_migration_alone_and_no_other_is_named() -> None:
    assert OURS["migrate"]["environment"]["FIRSTNOTICE_KAFKA_BOOTSTRAP_SERVERS"]
    assert COMPOSE["services"]["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert set(re.findall(r"--topic[= ]([\w.-]+)", TEXT)) <= set(TOPICS)


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_no_container_holds_secrets_that_it_does_not_need() -> None:
    for program in PROGRAMS:
        volumes = {volume.split(":")[0] for volume in OURS[program]["volumes"]}
        assert volumes == {f"{program}-secrets", f"{program}-ledger"}
    assert not re.search(r"password\s*:\s*\S", TEXT, re.IGNORECASE)


def test_every_named_volume_and_network_is_declared() -> None:
    for service in COMPOSE["services"].values():
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"])


def test_router_may_send_into_the_network_of_the_recipients() -> None:
    (subnet,) = (config["subnet"] for config in COMPOSE["networks"]["recipients"]["ipam"]["config"])
    assert f"--network={subnet}" in OURS["secrets"]["command"]


def test_what_the_image_copies_and_starts_exists() -> None:
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    (entrypoint,) = json.loads(_last("ENTRYPOINT"))
    assert entrypoint in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(_last("CMD")) == ["--help"]


def test_the_image_ships_every_package_of_the_wheel() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    for package in packages:
        assert f"COPY {package} {package}\n" in DOCKERFILE
        assert f"!{package}" in ignored


def test_the_image_does_not_run_as_root_and_checks_what_it_installs() -> None:
    assert _last("USER").split(":")[0] not in ("", "0", "root")
    assert "--require-hashes -r requirements.lock" in DOCKERFILE


def _last(instruction: str) -> str:
    return str(re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)[-1])
