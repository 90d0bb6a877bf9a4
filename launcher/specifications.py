"""Writes the descriptions of our interfaces from the code: `python -m launcher.specifications`, or `make specs`."""

import asyncio
import tempfile
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import orjson

import contracts
from contracts import asyncapi
from kernel.settings import load_settings, settings_table
from launcher import catalogue
from launcher.home import Home, prepare, program_bases, write_endpoints
from launcher.programs import PROGRAMS
from rulebook.loader import load_law

ROOT = Path(contracts.__file__).parents[1]
FOLDER = ROOT / "contracts" / "openapi"
SETTINGS = ROOT / "docs" / "settings.md"
_SETTINGS_HEAD = """# Settings

Environment variables, read at the start of each service; those of one service begin with its name. A value that is
missing or wrong stops the start and is named, never shown. This page is generated: `make specs`.

"""


def _first_day_of_the_law() -> datetime:
    """A description is of the release beside it, also when the clock of this machine is before the day of that."""
    return datetime.combine(load_law().release.in_force_from, time(12), UTC)


async def openapi(service: str, home: Home) -> dict[str, Any]:
    """OpenAPI 3.1 of one service, wired as it runs but connected to nothing."""
    settings = load_settings(
        catalogue.settings_class(service),
        port=catalogue.PORTS[service],
        database_dsn="postgresql:///nowhere",
        keyset_file=home.keyset,
        clients_file=home.clients,
        endpoints_file=home.endpoints,
    )
    bus = catalogue.embedded_bus("postgresql:///nowhere")
    built = await catalogue.build(service, settings, bus, clock=_first_day_of_the_law)
    try:
        return built.app.openapi()
    finally:
        await built.close()


async def texts() -> dict[Path, str]:
    """Every generated file and what has to be in it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        prepare(home)
        write_endpoints(home, program_bases(dict.fromkeys(PROGRAMS, 1)))
        found = {asyncapi.FILE: asyncapi.text()}
        for service in catalogue.SERVICES:
            document = orjson.dumps(await openapi(service, home), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
            found[FOLDER / f"{service}.json"] = document.decode() + "\n"
        found[SETTINGS] = _SETTINGS_HEAD + settings_table(*map(catalogue.settings_class, catalogue.SERVICES))
        return found


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path, text in asyncio.run(texts()).items():
        path.write_text(text)


if __name__ == "__main__":
    main()
