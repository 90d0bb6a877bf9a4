"""The ledger: what was answered is in it, what came twice is applied once."""

from pathlib import Path

from launcher.ledger import Ledger, read


def received(notice: str, digest: str = "d1") -> dict[str, str]:
    return {
        "what": "received",
        "notice_id": notice,
        "recipient_id": "mo-dss",
        "kind": "notice",
        "encounter_id": "e1",
        "digest": digest,
    }


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([received("n1"), received("n2")])
    again = Ledger(path)
    assert [one.notice_id for one in again.contents.open] == ["n1", "n2"]
    again.append([{"what": "acknowledged", "notice_id": "n1", "status": "accepted"}])
    assert [one.notice_id for one in read(path).open] == ["n2"]


def test_a_line_that_was_cut_off_by_a_crash_was_never_answered_and_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([received("n1")])
    with path.open("ab") as file:
        file.write(b'{"what": "received", "notice_id": "n2"')
    assert list(read(path).received) == ["n1"]
    again = Ledger(path)
    again.append([received("n3")])
    assert list(read(path).received) == ["n1", "n3"]


def test_repeats_alterations_and_double_applications_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    repeat = {"what": "repeated", "notice_id": "n1", "digest": "d1"}
    Ledger(path).append([received("n1"), repeat, repeat | {"digest": "d2"}])
    contents = read(path)
    assert (contents.repeats, contents.altered, contents.applied_twice) == (2, ["n1"], [])
    Ledger(path).append([received("n1")])
    assert read(path).applied_twice == ["n1"]


def test_an_acknowledgement_that_will_never_be_taken_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([received("n1"), {"what": "refused", "notice_id": "n1", "reason": "409"}])
    assert read(path).open == []
