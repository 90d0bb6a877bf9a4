"""Whoever takes over a data directory ends what a dead owner left at work in it, and nobody else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launcher.processes import SERVES, LeashedProcess, Ownership, ProcessesLeft, end_all

NESTED = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def worker(ownership: Ownership, log: Path, code: str = "import time; time.sleep(600)") -> LeashedProcess:
    return LeashedProcess([sys.executable, "-c", code], output=log, environment=ownership.mark)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[LeashedProcess]:
    """Works in another data directory, which is a copy of the first one."""
    (tmp_path / "copy").mkdir()
    process = worker(Ownership(tmp_path / "copy"), tmp_path / "stranger.log")
    yield process
    process.kill()


def test_who_outlived_a_dead_owner_is_ended_with_its_own_children(tmp_path: Path, stranger: LeashedProcess) -> None:
    data = tmp_path / "data"
    data.mkdir()
    left = worker(Ownership(data), tmp_path / "left.log", NESTED)
    while not (told := (tmp_path / "left.log").read_text()).endswith("\n"):
        assert left.running
    grandchild = psutil.Process(int(told))

    ownership = Ownership(data)
    ownership.claim()
    assert left.returncode == -9
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    assert stranger.running
    ownership.release()


def test_a_claim_that_is_ours_already_ends_nobody(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)
    ownership.claim()
    mine = worker(ownership, tmp_path / "mine.log")
    ownership.claim()
    assert mine.running
    mine.kill()
    ownership.release()


def test_a_directory_that_was_moved_or_made_anew_is_another_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    before = Ownership(data).mark
    data.rename(tmp_path / "moved")
    data.mkdir()
    assert len({one[SERVES] for one in (before, Ownership(data).mark, Ownership(tmp_path / "moved").mark)}) == 3


def test_a_start_that_fails_gives_up_a_new_claim_and_keeps_an_old_one(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)
    for before in (False, True):
        if before:
            ownership.claim()
        with pytest.raises(RuntimeError, match="no start"), ownership.claimed():
            raise RuntimeError("no start")
        assert _is_claimed(tmp_path) is before
    ownership.release()


def test_what_cannot_be_ended_is_said_with_its_pid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = worker(Ownership(tmp_path), tmp_path / "log")
    monkeypatch.setattr(psutil.Process, "kill", lambda self: None)
    with pytest.raises(ProcessesLeft, match=rf"do not end: {process.pid}\."):
        end_all(lambda: [psutil.Process(process.pid)], seconds=0.1)
    process.kill()


def _is_claimed(directory: Path) -> bool:
    code = (
        "import sys; from pathlib import Path; from launcher.processes import *; Ownership(Path(sys.argv[1])).claim()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "DataDirectoryInUse" in done.stderr
    return done.returncode != 0
