"""The command line: quick help, one clear line for what goes wrong, and every documented command exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from launcher.cli import app

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=ROOT,
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does_in_a_sentence(name: str) -> None:
    assert re.match(r"[A-Z][^\n]+[.;]", COMMANDS[name].help)
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_help_imports_nothing_that_is_slow() -> None:
    heavy = {"sqlalchemy", "fastapi", "aiokafka", "asyncpg", "cryptography", "pydantic", "httpx", "uvicorn"}
    code = "import launcher.cli, launcher.programs, kernel.errors, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert heavy.isdisjoint(loaded.split())


def test_our_own_errors_are_one_line_and_status_2(tmp_path: Path) -> None:
    done = run("token", "nobody", "GET", "/v1", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("firstnotice: ")
    assert "Traceback" not in done.stderr


def test_a_service_without_settings_says_which_are_missing() -> None:
    done = run("audit")
    assert done.returncode == 2
    assert "FIRSTNOTICE_DATABASE_DSN" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_recipient_is_refused_with_the_names_that_exist() -> None:
    done = run("recipients", "nobody")
    assert done.returncode == 2
    assert "juvenile-officers" in done.stderr


def test_send_says_so_when_nobody_listens(tmp_path: Path) -> None:
    assert run("secrets", "--data-dir", str(tmp_path)).returncode == 0
    report = next((ROOT / "examples" / "encounters").glob("01-*.json"))
    done = run("send", str(report), "--data-dir", str(tmp_path), "--url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "is `firstnotice up` running?" in done.stderr


def test_every_command_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        text = document.read_text(encoding="utf-8")
        code = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
        named = [found for one in code for found in re.findall(r"^[`$ ]*(make|firstnotice) ([a-z][a-z-]*)", one, re.M)]
        assert {command for program, command in named if program == "firstnotice"} <= set(COMMANDS), document
        assert {target for program, target in named if program == "make"} <= targets, document
