"""The life of notices: whatever facts change in whatever order, nobody is told twice, too late or wrongly for ever."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Outcome
from services.router.domain.obligations import Change, Obligation, Ruling, Stage, Standing, plan

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENCOUNTER, SUBJECT = UUID(int=1), UUID(int=2)


def ruling(outcome: Outcome = "due", recipient: str | None = "mo-jo-16", told: bytes = b"a") -> Ruling:
    return Ruling(
        duty_id="MO.566_223.JJ",
        outcome=outcome,
        recipient_role="juvenile_justice",
        recipient_id=recipient,
        owner="watch",
        clock="asap",
        due_at=None,
        target_at=None,
        review_after=timedelta(hours=1) if outcome == "review" else None,
        priority="first_notice",
        acknowledgement="accepted",
        citations=("s. 566.223 RSMo",),
        decided_by="rule",
        basis_tag=outcome.encode(),
        told_tag=told if outcome == "due" else b"",
    )


@dataclass
class World:
    """The stored state, as the adapters keep it, with what each recipient has perhaps read."""

    obligation: Obligation | None = None
    standing: dict[str, Standing] = field(default_factory=dict)
    issued: list[UUID] = field(default_factory=list)
    sendable: dict[UUID, Standing] = field(default_factory=dict)
    minds: dict[str, str] = field(default_factory=dict)
    """What a recipient that read everything it may have read holds to be true: told content, or withdrawn."""
    expired: bool = False

    def decide(self, now_ruled: Ruling, now: datetime = NOW) -> Change | None:
        change = plan(
            now_ruled,
            encounter_id=ENCOUNTER,
            subject_id=SUBJECT,
            before=self.obligation,
            review_expired=self.expired,
            standing=tuple(self.standing.values()),
            now=now,
        )
        if change is None:
            return None
        self.obligation = change.obligation
        for old in change.retired:
            self.standing = {r: s for r, s in self.standing.items() if s.notice_id != old.notice_id}
            self.sendable.pop(old.notice_id, None)
        for issue in change.issues:
            assert issue.recipient_id not in self.standing, "one live notice per recipient"
            notice = Standing(
                notice_id=issue.notice_id,
                recipient_id=issue.recipient_id,
                kind=issue.kind,
                priority=issue.priority,
                told_tag=b"" if issue.kind == "withdrawal" else now_ruled.told_tag,
                stage="unsent",
            )
            self.standing[issue.recipient_id] = self.sendable[issue.notice_id] = notice
            self.issued.append(issue.notice_id)
        return change

    def send(self, recipient: str, stage: Stage) -> None:
        notice = self.standing.get(recipient)
        if notice is None or notice.stage == "confirmed" or stage == "unsent":
            return
        self.standing[recipient] = replace(notice, stage=stage)
        self.minds[recipient] = "withdrawn" if notice.kind == "withdrawal" else notice.told_tag.decode()
        if stage == "confirmed":
            self.sendable.pop(notice.notice_id, None)

    def settle(self) -> None:
        for recipient in list(self.standing):
            self.send(recipient, "confirmed")


RULINGS = st.builds(
    ruling,
    st.sampled_from(["due", "not_due", "review"]),
    st.sampled_from(["mo-jo-16", "mo-jo-7"]),
    st.sampled_from([b"a", b"b"]),
)
STEPS = st.lists(
    st.one_of(
        RULINGS, st.tuples(st.sampled_from(["mo-jo-16", "mo-jo-7"]), st.sampled_from(["maybe_read", "confirmed"]))
    ),
    max_size=12,
)


@given(STEPS, RULINGS)
def test_in_the_end_everybody_knows_exactly_what_holds(steps: list[object], last: Ruling) -> None:
    world = World()
    for step in [*steps, last]:
        if isinstance(step, Ruling):
            world.decide(step)
            unsent = [one.recipient_id for one in world.sendable.values()]
            assert len(unsent) == len(set(unsent)), "never two sendable notices for one recipient"
            if step.outcome == "due":
                assert step.recipient_id in world.standing, "every due obligation has a live notice"
                assert world.standing[str(step.recipient_id)].kind != "withdrawal"
        else:
            world.send(*step)  # type: ignore[misc]
    world.settle()
    # A review takes nothing back and tells nobody anything: what was decided before stands.
    settled = [one for one in [*steps, last] if isinstance(one, Ruling) and one.outcome != "review"]
    owed = settled[-1].recipient_id if settled and settled[-1].outcome == "due" else None
    for recipient, mind in world.minds.items():
        assert mind == (settled[-1].told_tag.decode() if recipient == owed else "withdrawn")
    if owed is not None:
        assert owed in world.minds
    assert len(world.issued) == len(set(world.issued)), "no notice id is ever issued for two revisions"


@given(STEPS)
def test_deciding_the_same_again_changes_nothing(steps: list[object]) -> None:
    world = World()
    for step in steps:
        if isinstance(step, Ruling):
            world.decide(step)
            assert world.decide(step) is None
        else:
            world.send(*step)  # type: ignore[misc]


def test_a_replay_gives_the_same_ids() -> None:
    one, other = World(), World()
    one.decide(ruling())
    other.decide(ruling())
    assert one.issued == other.issued
    assert one.obligation == other.obligation


def test_what_was_confirmed_is_corrected_after_first_notices() -> None:
    world = World()
    world.decide(ruling())
    world.send("mo-jo-16", "confirmed")
    change = world.decide(ruling(told=b"b"))
    assert change is not None
    (issue,), (old,) = change.issues, change.retired
    assert (issue.kind, issue.priority, issue.replaces) == ("correction", "correction", old.notice_id)
    assert (old.how, old.replaced_by) == ("corrected", issue.notice_id)


def test_what_nobody_confirmed_yet_keeps_its_urgency_in_the_correction() -> None:
    world = World()
    world.decide(ruling())
    world.send("mo-jo-16", "maybe_read")
    change = world.decide(ruling(told=b"b"))
    assert change is not None
    assert (change.issues[0].kind, change.issues[0].priority) == ("correction", "first_notice")


def test_a_corrected_county_withdraws_there_and_tells_here() -> None:
    world = World()
    world.decide(ruling(recipient="mo-jo-16"))
    world.send("mo-jo-16", "confirmed")
    change = world.decide(ruling(recipient="mo-jo-7"))
    assert change is not None
    assert {(i.recipient_id, i.kind, i.priority) for i in change.issues} == {
        ("mo-jo-16", "withdrawal", "correction"),
        ("mo-jo-7", "notice", "first_notice"),
    }


def test_what_was_told_stands_until_a_review_is_settled() -> None:
    world = World()
    world.decide(ruling())
    world.send("mo-jo-16", "confirmed")
    outcomes: tuple[Outcome, ...] = ("review", "due")
    for outcome in outcomes:
        change = world.decide(ruling(outcome))
        assert change is not None
        assert (change.issues, change.retired) == ((), ())
    world.decide(ruling("review"))
    change = world.decide(ruling("not_due"))
    assert change is not None
    assert [one.kind for one in change.issues] == ["withdrawal"]


def test_a_notice_that_has_not_left_yet_leaves_during_a_review() -> None:
    world = World()
    world.decide(ruling())
    world.decide(ruling("review"))
    assert [one.kind for one in world.sendable.values()] == ["notice"]


def test_an_amendment_does_not_buy_time_for_a_review() -> None:
    world = World()
    world.decide(ruling("review"), NOW)
    first = world.obligation
    changed = replace(ruling("review"), owner="another")
    world.decide(changed, NOW + timedelta(minutes=40))
    assert first is not None
    assert world.obligation is not None
    assert world.obligation.review_at == first.review_at == NOW + timedelta(hours=1)


def test_new_content_wants_a_new_answer() -> None:
    world = World()
    world.decide(ruling())
    assert world.obligation is not None
    world.obligation = replace(world.obligation, met_at=NOW)
    world.decide(ruling())
    assert world.obligation.met_at == NOW
    world.send("mo-jo-16", "confirmed")
    world.decide(ruling(told=b"b"))
    assert world.obligation.met_at is None
