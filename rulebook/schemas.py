"""JSON Schemas of the law files, for editors and for whoever writes law elsewhere: `python -m rulebook.schemas`."""

import json
from pathlib import Path

from pydantic import BaseModel

from rulebook import schema
from rulebook.deadlines import CalendarsFile
from rulebook.loader import LAW
from rulebook.parameters import ParametersFile
from rulebook.screening import ScreeningFile
from rulebook.training import TrainingFile, TrainingRecords

FOLDER = LAW / "schemas"
MODELS: dict[str, type[BaseModel]] = {
    "blocks": schema.BlocksFile,
    "calendars": CalendarsFile,
    "directory": schema.DirectoryFile,
    "disclosure": schema.DisclosureFile,
    "duties": schema.DutiesFile,
    "facts": schema.FactsFile,
    "jurisdictions": schema.Jurisdictions,
    "parameters": ParametersFile,
    "policy": schema.PolicyFile,
    "programs": schema.ProgramsFile,
    "release": schema.Release,
    "screening": ScreeningFile,
    "sources": schema.SourcesFile,
    "training": TrainingFile,
    "training_records": TrainingRecords,
}
"""By kind of file, and the records that agencies keep of training."""


def text(kind: str) -> str:
    """The JSON Schema of one kind of file."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind}
    return json.dumps(MODELS[kind].model_json_schema(by_alias=True) | described, indent=1, sort_keys=True) + "\n"


def write(folder: Path = FOLDER) -> None:
    """Writes every schema."""
    folder.mkdir(exist_ok=True)
    for kind in MODELS:
        (folder / f"{kind}.json").write_text(text(kind), encoding="utf-8")


if __name__ == "__main__":
    write()
