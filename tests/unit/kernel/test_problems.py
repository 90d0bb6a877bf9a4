"""What problem documents promise: every bad field by its pointer, the reason in words, and never a value."""

import ast
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

from kernel.http.problems import field_errors
from tests.support.webservice import POST, REPORT, WebService, in_process

CANARY = "Zq7canary"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebService]:
    with in_process(tmp_path_factory.mktemp("problems")) as started:
        yield started


def report(**members: Any) -> dict[str, Any]:
    return deepcopy(REPORT) | members


def subject(**members: Any) -> dict[str, Any]:
    return report(subjects=[REPORT["subjects"][0] | members])  # type: ignore[index]


async def errors_of(service: WebService, document: Any) -> dict[str, str]:
    answer = await service.send(*POST, orjson.dumps(document))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


async def test_every_bad_field_is_named(service: WebService) -> None:
    document = subject(subject_number=0, circumstances={}, nickname="x")
    document["agency_ori"] = "short"
    del document["encounter_at"]
    assert await errors_of(service, document) == {
        "/agency_ori": "must match the pattern ^[A-Z]{2}[A-Z0-9]{7}$",
        "/encounter_at": "is required",
        "/subjects/0/subject_number": "must be at least 1",
        "/subjects/0/circumstances/appears_victim": "is required",
        "/subjects/0/nickname": "is not a known member",
    }


@pytest.mark.parametrize(
    ("document", "pointer", "detail"),
    [
        (subject(age={"years": -1}), "/subjects/0/age/years", "must be at least 0"),
        (subject(age="old"), "/subjects/0/age", "must be an object, or must be 'unknown'"),
        (subject(age={"verified_by": "document"}), "/subjects/0/age", "verified_by needs birth_date or years"),
        (subject(identity={"sex": "m"}), "/subjects/0/identity/sex", "must be 'F', 'M', 'U' or 'X'"),
        (report(encounter_at="2026-11-21T10:00:00"), "/encounter_at", "must have a time zone"),
        (report(encounter_at="yesterday"), "/encounter_at", "must be a date and time"),
        (report(subjects=[]), "/subjects", "must have at least 1 items"),
        (report(subjects="x"), "/subjects", "must be an array"),
        (subject(**{"a/b~c": 1}), "/subjects/0/a~1b~0c", "is not a known member"),
        ([], "", "must be an object"),
    ],
)
async def test_the_pointer_leads_to_the_member_and_the_words_say_what_to_write(
    service: WebService, document: Any, pointer: str, detail: str
) -> None:
    errors = await errors_of(service, document)
    assert list(errors) == [pointer]
    assert errors[pointer].startswith(detail)


CANARIES: list[Any] = [
    report(agency_ori=CANARY),
    report(encounter_at=CANARY),
    report(encounter={"incident_number": CANARY + "\n"}),
    report(encounter={"incident_number": "1", "location": {"county_fips": CANARY}}),
    subject(age=CANARY),
    subject(age={"birth_date": CANARY, "years": CANARY, "verified_by": CANARY}),
    subject(identity={"given_name": [CANARY], "sex": CANARY, "phone": {"a": CANARY}, "address": CANARY * 30}),
    subject(narrative=CANARY * 1000),
    subject(narrative=[CANARY]),
    subject(status={"citizenship": CANARY, "facts": {"a": [CANARY]}}),
    subject(circumstances={"appears_victim": CANARY, "role": CANARY, "screening": [{"outcome": CANARY}]}),
    CANARY,
    [CANARY],
]


@pytest.mark.parametrize("document", CANARIES, ids=range(len(CANARIES)))
async def test_no_refusal_repeats_a_value(service: WebService, document: Any) -> None:
    answer = await service.send(*POST, orjson.dumps(document))
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert CANARY not in answer.text
    assert CANARY not in service.log.getvalue()


async def test_malformed_json_is_located_and_not_quoted(service: WebService) -> None:
    answer = await service.send(*POST, b'{"a":\n' + CANARY.encode())
    assert answer.status_code == 400
    assert "line 2" in answer.json()["detail"]
    assert CANARY not in answer.text + service.log.getvalue()


async def test_what_we_did_not_foresee_is_a_500_with_a_name_and_without_values(service: WebService) -> None:
    answer = await service.send("POST", "/v1/fail", orjson.dumps({"name": CANARY}))
    assert answer.status_code == 500
    name = answer.json()["instance"].removeprefix("urn:firstnotice:request:")
    lines = [orjson.loads(line) for line in service.log.getvalue().splitlines()]
    [line] = [line for line in lines if line["level"] == "error"]
    assert line["trace"] == name
    assert line["error"].startswith("RuntimeError at support/webservice.py:")
    assert CANARY not in answer.text + service.log.getvalue()


async def test_our_own_errors_say_what_to_do(service: WebService) -> None:
    conflict = await service.send("POST", "/v1/conflict")
    assert (conflict.status_code, conflict.json()["detail"]) == (409, "The key was used for other content.")
    away = await service.send("GET", "/v1/away")
    assert (away.status_code, away.headers["retry-after"]) == (503, "7")
    assert "database" not in away.text


async def test_unknown_paths_and_malformed_ids_look_the_same(service: WebService) -> None:
    answers = [await service.send("GET", path) for path in ("/v1/nowhere", "/v1/reports/not-an-id")]
    for answer in answers:
        document = answer.json()
        del document["instance"]
        assert (answer.status_code, document) == (
            404,
            {
                "type": "https://firstnotice.org/problems/not-found",
                "title": "There is nothing here for this caller",
                "status": 404,
                "detail": "The path is unknown, or what it names is not yours.",
            },
        )


async def test_a_wrong_method_names_the_right_one(service: WebService) -> None:
    answer = await service.send("PUT", "/v1/reports", b"{}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_bad_query_is_named_without_its_value(service: WebService) -> None:
    answer = await service.send("GET", f"/v1/reports/00000000-0000-0000-0000-000000000000?limit={CANARY}")
    assert answer.json()["errors"] == [{"pointer": "query/limit", "detail": "must be a whole number"}]


async def test_the_published_description_knows_problems_and_tokens(service: WebService) -> None:
    described = (await service.send("GET", "/openapi.json", headers={})).json()
    operation = described["paths"]["/v1/reports"]["post"]
    assert operation["security"] == [{"signedToken": []}]
    assert "HTTPValidationError" not in orjson.dumps(described).decode()
    assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]


def test_rules_of_ours_are_said_in_fixed_words() -> None:
    """Their words go into answers, so no rule may put a value into them."""
    raised = 0
    for path in [*ROOT.glob("contracts/*.py"), *ROOT.glob("services/*/api/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                call = node.exc
                if isinstance(call.func, ast.Name) and call.func.id in ("ValueError", "PydanticCustomError"):
                    raised += 1
                    assert all(isinstance(argument, ast.Constant) for argument in call.args), f"{path}:{node.lineno}"
    assert raised


@pytest.mark.parametrize("given", [CANARY, [CANARY], {"a": {"b": CANARY}}, {CANARY + " ": 1}, 4711])
def test_words_that_quote_the_request_are_left_out(given: Any) -> None:
    """As `date.fromisoformat` and others do when a rule of ours calls them."""
    problem = {"loc": ("body", "a"), "type": "value_error", "input": given, "ctx": {"error": ValueError(f"no {given}")}}
    [error] = field_errors([problem], {"a": given})
    assert (error.pointer, error.detail) == ("/a", "is not valid")
