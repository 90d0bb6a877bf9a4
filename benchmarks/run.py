"""`make bench`: every measurement, its figures beside the ones to reach, and JSON in `benchmarks/results/`.

Figures to reach stand in TARGETS; they come from measurements of other systems on a machine of two cores.
"""

import argparse
import asyncio
import subprocess
import sys
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import RESULTS, keep

TARGETS = {
    ("embedded", 20): (10.0, 25.0),
    ("embedded", 100): (10.0, 25.0),
    ("kafka", 20): (20.0, 60.0),
    ("kafka", 100): (20.0, 60.0),
}
"""Milliseconds from accepted to the recipient's first byte: p50 and p99."""

PARTS = ("rulebook", "rerun", "intake_accept", "courier_drain", "http_clients")
"""Measurements that are programs of their own; each prints one JSON object."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="longer runs")
    arguments.add_argument("--only", choices=["pipeline", *PARTS], help="one measurement")
    given = arguments.parse_args()
    console = Console()
    if given.only in (None, "pipeline"):
        pipeline(console, full=given.full)
    for part in PARTS:
        if given.only in (None, part):
            run_part(console, part)
    console.print(f"JSON: {RESULTS}")


def pipeline(console: Console, *, full: bool) -> None:
    from benchmarks.pipeline import measure

    found = {
        mode: asyncio.run(measure(cluster=mode == "kafka", seconds=60 if full else 6, burst=20_000 if full else 2000))
        for mode in ("embedded", "kafka")
    }
    keep("pipeline", found)
    table = Table("mode", "encounters/s", "p50 ms", "to reach", "p99 ms", "to reach", title="accepted to first byte")
    for (mode, rate), (p50, p99) in TARGETS.items():
        one = found[mode][f"accept_to_first_byte_ms_at_{rate}_per_s"]
        table.add_row(mode, str(rate), _against(one["p50"], p50), f"{p50:g}", _against(one["p99"], p99), f"{p99:g}")
    console.print(table)
    for mode, result in found.items():
        for rate in (20, 100):
            console.print(f"CPU ms per encounter, {mode}, {rate}/s:", result[f"cpu_ms_per_encounter_at_{rate}_per_s"])
            console.print(f"where the time goes, {mode}, {rate}/s:", result[f"hops_ms_at_{rate}_per_s"])
        console.print(f"burst, {mode}:", result["burst"])
    one, two = found["kafka"]["burst"], found["kafka"]["burst_with_two_routers"]
    told = "encounters_per_s_until_all_told"
    console.print(f"two routers against one, {told}: {two[told]} / {one[told]} = {two[told] / one[told]:.2f}x")


def _against(value: float, target: float) -> str:
    return f"{value:g} ({value / target:.2f}x)"


def run_part(console: Console, part: str) -> None:
    console.rule(part)
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = orjson.loads(done.stdout)
    keep(part, result)
    console.print_json(data=result)


if __name__ == "__main__":
    main()
