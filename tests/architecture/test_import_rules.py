"""The import rules bind only the packages that `.importlinter` lists, so it has to list them all."""

import configparser
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_top_level_package_is_under_the_import_rules() -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    listed = set(rules["importlinter"]["root_packages"].split())
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    packages = {name for name in shipped["packages"] if (ROOT / name / "__init__.py").exists()}
    assert listed == packages
    pure = set(rules["importlinter:contract:pure"]["source_modules"].split())
    assert pure >= packages & {"contracts", "rulebook"}
