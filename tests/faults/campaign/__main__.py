"""`make faults`: a campaign with each kind of bus, or one of them. Ends with 1 when it found something wrong."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from launcher.postgres import EmbeddedPostgres
from tests.faults.campaign.driver import AT_ONCE, Plan, run
from tests.faults.campaign.kinds import kinds
from tests.faults.campaign.raising import raised

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
SHOWN = 12
"""Findings of one sort that are printed; the file has all."""


def main() -> int:
    known = sorted(kinds(kafka=True))
    arguments = argparse.ArgumentParser(prog="make faults", description=__doc__)
    arguments.add_argument("--seed", type=int, default=None, help="repeats the schedule of an earlier campaign")
    arguments.add_argument("--minutes", type=float, default=10.0, help="how long faults strike, in each mode")
    arguments.add_argument("--mode", choices=["embedded", "kafka", "both"], default="both")
    arguments.add_argument("--rate", type=float, default=3.0, help="encounters a second")
    arguments.add_argument("--gaps", type=float, nargs=2, default=(0.5, 4.0), help="seconds between faults, drawn from")
    arguments.add_argument("--at-once", type=int, default=AT_ONCE, help="faults that last at the same time at most")
    arguments.add_argument("--settles", type=float, default=240.0, help="seconds that healing may take afterwards")
    arguments.add_argument("--only", nargs="*", choices=known, metavar="KIND", help=f"of {', '.join(known)}")
    arguments.add_argument("--without", nargs="*", choices=known, default=[], metavar="KIND")
    given = arguments.parse_args()
    chosen = frozenset(given.only or known) - set(given.without)
    plan = Plan(
        seed=secrets.randbelow(10**6) if given.seed is None else given.seed,
        seconds=given.minutes * 60,
        kinds=chosen,
        rate=given.rate,
        settles=given.settles,
        gaps=tuple(given.gaps),
        at_once=given.at_once,
    )
    modes = ["embedded", "kafka"] if given.mode == "both" else [given.mode]
    return max(asyncio.run(campaign(mode, plan)) for mode in modes)


async def campaign(mode: str, plan: Plan) -> int:
    say(f"{mode}: seed {plan.seed}, {plan.seconds / 60:g} minutes")
    folder = Path(tempfile.mkdtemp(prefix="firstnotice-campaign-"))
    say(f"data and logs, which stay if anything is wrong: {folder}")
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        async with raised(folder / "world", postgres, kafka=mode == "kafka", seed=plan.seed) as ground:
            result = await run(ground, plan, say)
    finally:
        postgres.stop()
    shown = {"mode": mode, **result.shown()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"campaign-{mode}-{plan.seed}.json"
    file.write_bytes(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
    tell(shown)
    say(f"JSON: {file}")
    if result.findings:
        return 1
    shutil.rmtree(folder)
    return 0


def tell(shown: Mapping[str, Any]) -> None:
    """The result for people."""
    for name, value in shown.items():
        if name not in ("findings", "schedule", "faults"):
            say(f"  {name.replace('_', ' ')}: {value}")
    say("  faults: " + ", ".join(f"{kind} {count}" for kind, count in shown["faults"].items()))
    for name, found in shown["findings"].items():
        for one in found[:SHOWN]:
            say(f"  {name.upper().replace('_', ' ')}: {one}")
        if len(found) > SHOWN:
            say(f"  {name.upper().replace('_', ' ')}: and {len(found) - SHOWN} more")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
