"""What every measurement needs: percentiles, CPU time of process trees, results on disk and on the screen."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil

RESULTS = Path(__file__).parent / "results"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by `share` (0 to 1) of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_seconds(roots: Iterable[int]) -> dict[str, float]:
    """CPU time so far, user and system, of these processes and all below them, by kind of process."""
    sums: dict[str, float] = {}
    for process in {one for root in roots for one in [psutil.Process(root), *psutil.Process(root).children(True)]}:
        try:
            times = process.cpu_times()
            kind = _kind(process)
        except psutil.Error:
            continue
        sums[kind] = sums.get(kind, 0.0) + times.user + times.system
    return sums


def _kind(process: psutil.Process) -> str:
    name = process.name()
    if name.startswith("postgres"):
        return "postgresql"
    if name == "java":
        return "kafka"
    if "recipients" in process.cmdline():
        return "recipients"
    return "firstnotice"


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {kind: round(seconds - before.get(kind, 0.0), 3) for kind, seconds in after.items()}


def machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
    }


def keep(name: str, result: Mapping[str, Any]) -> None:
    """Writes `results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(
        orjson.dumps({"machine": machine(), **result}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    )
