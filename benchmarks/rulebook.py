"""The rulebook: one person against all duties and programs, a million persons in columns, and other engines beside.

Prints one JSON object. To reach: verdicts 250 µs, with reasons and minimal sets 2 ms, a million persons 10 s per core.
The other engines decide the same conditions of five programs, in one call each; `guesses` counts how often they say
yes or no of somebody whose known facts leave the answer open.
"""

import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import zen
from json_logic import jsonLogic

from contracts.facts import SubjectFacts
from rulebook import columns
from rulebook.duties import DutyFacts, decide
from rulebook.encoding import Column, Columns, encode
from rulebook.generated import engine, generate
from rulebook.kleene import Truth
from rulebook.leaves import Leaf, TableLeaf
from rulebook.loader import Law, load_law
from rulebook.person import known_facts
from rulebook.programs import determine, verdicts
from rulebook.trees import AllTree, AnyTree, NotTree, Tree
from rulebook.values import Among, FactMap, Interval

AT = datetime.fromisoformat("2026-11-22T12:00:00-06:00")
DAY = AT.date()
COMPARED = ("mo_child_care_subsidy", "mohealthnet_adult_expansion", "snap", "ssi", "wic")
PERSONS = 300
MILLION = 1_000_000
HOUSEHOLDS = range(1, 9)
_ZEN = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "eq": "==", "is": "==", "ne": "!=", "in": "in"}


def main() -> None:
    law = load_law()
    dice = random.Random(566223)
    reports = [report(law, dice) for _ in range(PERSONS)]
    result = {
        "to_reach": {"verdicts_us": 250, "with_reasons_us": 2000, "million_s": 10},
        "law": {"programs": len(engine(law).plan("MO").programs), "duties": len(engine(law).plan("MO").duties)},
        "one_person": one_person(law, reports),
        "million": million(law),
        "other_engines": other_engines(law, reports),
    }
    print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())


def report(law: Law, dice: random.Random) -> SubjectFacts:
    """Somebody of whom each fact of the open maps is known with a chance of one third."""
    groups: dict[str, dict[str, Any]] = {"circumstances": {}, "status": {}}
    for fact, spec in law.facts.items():
        if not spec.computed and spec.from_ is None and dice.random() < 1 / 3:
            group = groups["status" if spec.group == "status" else "circumstances"]
            group[fact] = dice.choice([*_values(spec.type, spec.values), "unknown", "refused"])
    age: list[dict[str, Any]] = [
        {},
        {"stated_years": 19},
        {"apparent_minor": True},
        {"birth_date": "2010-05-05", "verified_by": "document"},
        {"years": 30, "verified_by": "document"},
    ]
    return SubjectFacts.model_validate(
        {
            "encounter": {"incident_number": "A-1", "location": {"county_fips": "29095"}},
            "age": dice.choice(age),
            "circumstances": {
                "appears_victim": True,
                "residence_county_fips": dice.choice(["29095", None]),
                "facts": groups["circumstances"],
            },
            "status": {"citizenship": dice.choice(["us_citizen", "lpr", "unknown"]), "facts": groups["status"]},
        }
    )


def _values(kind: str, members: Sequence[str]) -> list[Any]:
    by_kind: dict[str, list[Any]] = {
        "bool": [True, False],
        "int": [1, 4, 200_000],
        "decimal": [0, 130, "138.5", 5000],
        "date": ["2026-06-01"],
    }
    return list(members) or by_kind[kind]


def one_person(law: Law, reports: Sequence[SubjectFacts]) -> dict[str, Any]:
    """Microseconds of wall time per person, facts missing: medians, and the slowest tenth."""
    plan = engine(law).plan("MO")
    nobody = SubjectFacts()

    def bare(facts: SubjectFacts) -> None:
        known = known_facts(facts, law, encounter_on=DAY, as_of=DAY)
        plan.of_duties(known, DAY)
        verdicts(known, plan, DAY)

    def explained(facts: SubjectFacts) -> None:
        decide(
            DutyFacts(subject=facts, encounter_at=AT, discovered_at=AT, as_of=AT, jurisdiction="MO"),
            law,
            all_duties=True,
        )
        determine(facts, law, jurisdiction="MO", encounter_at=AT, as_of=AT)

    first = _each(explained, reports)
    return {
        "verdicts_us": _each(bare, reports),
        "verdicts_of_nobody_known_us": _each(bare, [nobody] * PERSONS),
        "with_reasons_and_minimal_sets_first_seen_us": first,
        "with_reasons_and_minimal_sets_us": _each(explained, reports),
        "with_reasons_and_minimal_sets_of_nobody_known_us": _each(explained, [nobody] * PERSONS),
    }


def _each(work: Callable[[Any], object], persons: Sequence[Any]) -> dict[str, float]:
    times = []
    for person in persons:
        start = time.perf_counter()
        work(person)
        times.append((time.perf_counter() - start) * 1e6)
    ordered = sorted(times)
    return {"median": round(statistics.median(times), 1), "p90": round(ordered[int(len(ordered) * 0.9)], 1)}


def million(law: Law) -> dict[str, Any]:
    """A million persons, each fact known with a chance of one half, evaluated in columns by one thread."""
    persons = Columns(MILLION, _random_columns(law, MILLION))
    start, cpu = time.perf_counter(), time.process_time()
    found = columns.outcomes(persons, law, "MO", DAY)
    wall, spent = time.perf_counter() - start, time.process_time() - cpu
    counted = sum((np.bincount(codes, minlength=4) for codes in found.values()), np.zeros(4, np.int64))
    few = [known_facts(report(law, random.Random(n)), law, encounter_on=DAY, as_of=DAY) for n in range(2000)]
    encoding = time.perf_counter()
    encode(few, law.facts)
    return {
        "evaluate_s": round(wall, 2),
        "evaluate_cpu_s": round(spent, 2),
        "us_per_person": round(wall / MILLION * 1e6, 3),
        "answers": {truth.name: int(counted[truth]) for truth in Truth},
        "encode_us_per_person": round((time.perf_counter() - encoding) / len(few) * 1e6, 2),
    }


def _random_columns(law: Law, rows: int) -> dict[str, Column]:
    dice = np.random.default_rng(566223)
    found: dict[str, Column] = {}
    asked = {
        fact for program in law.programs for tree in program.trees() for leaf in tree.leaves() for fact in leaf.facts
    }
    derived = {fact for derivation in law.derivations for fact, _ in derivation.then}
    for fact in sorted(asked - derived):
        spec = law.facts[fact]
        chosen = _values(spec.type, spec.values)
        typed: list[FactMap] = [{}] * len(chosen) + [{fact: _typed(value, spec.type)} for value in chosen]
        sample = encode(typed, {fact: spec}).facts[fact]
        rows_of = dice.integers(0, len(typed), rows)
        found[fact] = (sample[0][rows_of], sample[1][rows_of]) if isinstance(sample, tuple) else sample[rows_of]
    return found


def _typed(value: Any, kind: str) -> Any:
    if kind == "decimal":
        return Decimal(value)
    return datetime.fromisoformat(value).date() if kind == "date" else value


def other_engines(law: Law, reports: Sequence[SubjectFacts]) -> dict[str, Any]:
    """The same conditions of five programs, for the same persons with the same derived facts."""
    plan = engine(law).plan("MO")
    programs = {program.spec.id: program for program in plan.programs if program.spec.id in COMPARED}
    trees = {name: version.when for name, one in programs.items() if (version := one.version_on(DAY)) is not None}
    ours = generate(trees.values())
    logic = {name: json_logic(tree) for name, tree in trees.items()}
    decision = zen.ZenEngine().create_decision(json.dumps(_graph({n: zen_expression(t) for n, t in trees.items()})))
    compiled = {name: zen.compile_expression(zen_expression(tree)) for name, tree in trees.items()}
    people = [dict(known_facts(one, law, encounter_on=DAY, as_of=DAY)) for one in [SubjectFacts(), *reports]]
    contexts = [_context(person) for person in people]

    def with_json_logic(context: dict[str, Any]) -> dict[str, Any]:
        return {name: _say(lambda rule=rule: jsonLogic(rule, context)) for name, rule in logic.items()}

    def with_zen(context: dict[str, Any]) -> dict[str, Any]:
        return {name: _say(lambda rule=rule: rule.evaluate(context)) for name, rule in compiled.items()}

    def with_zen_graph(context: dict[str, Any]) -> Any:
        return _say(lambda: decision.evaluate(context)["result"])

    truths = [ours(person, DAY) for person in people]
    answers = [{name: truth[tree.index].name for name, tree in trees.items()} for truth in truths]
    return {
        "programs": list(trees),
        "persons": len(people),
        "nobody_known": {
            "firstnotice": answers[0],
            "json_logic": with_json_logic(contexts[0]),
            "zen_expressions": with_zen(contexts[0]),
            "zen_graph": with_zen_graph(contexts[0]),
        },
        "us_per_person": {
            "firstnotice": _each(lambda person: ours(person, DAY), people),
            "json_logic": _each(with_json_logic, contexts),
            "zen_expressions": _each(with_zen, contexts),
            "zen_graph": _each(with_zen_graph, contexts),
        },
        "guesses": {
            "json_logic": _guesses(answers, [with_json_logic(context) for context in contexts]),
            "zen_expressions": _guesses(answers, [with_zen(context) for context in contexts]),
        },
    }


def _guesses(ours: Sequence[dict[str, str]], theirs: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What is said where the known facts leave the answer open, and where they settle it."""
    found: Counter[str] = Counter()
    for right, said in zip(ours, theirs, strict=True):
        for name, truth in right.items():
            if truth == "UNKNOWN":
                found[f"open_said_{said[name]}"] += 1
            else:
                agrees = str(said[name]).upper() == truth
                found["settled_same" if agrees else f"settled_but_said_{said[name]}"] += 1
    return dict(sorted(found.items()))


def _say(ask: Callable[[], Any]) -> Any:
    """The answer of another engine, or that it refused with an error."""
    try:
        return ask()
    except (TypeError, RuntimeError, ValueError):
        return "error"


def _context(person: FactMap) -> dict[str, Any]:
    """Exact facts alone: neither engine has a value for one that is partly known."""
    exact = {fact: value for fact, value in person.items() if not isinstance(value, (Interval, Among))}
    return {fact: float(value) if isinstance(value, Decimal) else value for fact, value in exact.items()} | {
        fact: str(value) for fact, value in exact.items() if hasattr(value, "isoformat")
    }


def json_logic(tree: Tree) -> Any:
    inner = [json_logic(child) for child in tree.children]
    match tree:
        case AllTree():
            return {"and": inner}
        case AnyTree():
            return {"or": inner}
        case NotTree():
            return {"!": inner}
        case TableLeaf():
            of, income, symbol = {"var": tree.lookup.of}, {"var": tree.fact}, _ZEN[tree.operator]
            return {"or": [{"and": [{"===": [of, n]}, {symbol: [income, cents]}]} for n, cents in _by_size(tree)]}
        case Leaf(fact=fact, operator=operator, threshold=threshold):
            value = {"var": fact}
            if operator in ("in", "not_in"):
                found = {"in": [value, list(threshold)]}
                return found if operator == "in" else {"!": [found]}
            return {"===" if operator in ("eq", "is") else _ZEN[operator]: [value, _literal(threshold)]}
    raise AssertionError(type(tree))


def zen_expression(tree: Tree) -> str:
    inner = [f"({zen_expression(child)})" for child in tree.children]
    match tree:
        case AllTree():
            return " and ".join(inner) or "true"
        case AnyTree():
            return " or ".join(inner) or "false"
        case NotTree():
            return f"not {inner[0]}"
        case TableLeaf():
            each = (f"({tree.lookup.of} == {n} and {tree.fact} {_ZEN[tree.operator]} {c})" for n, c in _by_size(tree))
            return " or ".join(each)
        case Leaf(fact=fact, operator=operator, threshold=threshold):
            if operator in ("in", "not_in"):
                return f"{fact} {operator.replace('_', ' ')} {json.dumps(list(threshold))}"
            return f"{fact} {_ZEN[operator]} {json.dumps(_literal(threshold))}"
    raise AssertionError(type(tree))


def _by_size(leaf: TableLeaf) -> list[tuple[int, int]]:
    """The other engines know no tables: one comparison for each size of household."""
    amounts = ((size, leaf.lookup.cents(size, DAY)) for size in HOUSEHOLDS)
    return [(size, cents) for size, cents in amounts if cents is not None]


def _literal(threshold: Any) -> Any:
    return float(threshold) if isinstance(threshold, Decimal) else threshold


def _graph(expressions: dict[str, str]) -> dict[str, Any]:
    listed = [{"id": name, "key": name, "value": text} for name, text in expressions.items()]
    return {
        "nodes": [
            {"id": "in", "type": "inputNode", "name": "in"},
            {"id": "rules", "type": "expressionNode", "name": "rules", "content": {"expressions": listed}},
            {"id": "out", "type": "outputNode", "name": "out"},
        ],
        "edges": [
            {"id": "a", "sourceId": "in", "targetId": "rules"},
            {"id": "b", "sourceId": "rules", "targetId": "out"},
        ],
    }


if __name__ == "__main__":
    main()
