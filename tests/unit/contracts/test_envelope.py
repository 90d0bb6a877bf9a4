"""Events survive the wire; what is no event of ours is refused without quoting it."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import (
    SHARDS,
    Event,
    MalformedEvent,
    SealedGroup,
    decode,
    encode_headers,
    encode_value,
    sequence_headers,
    shard_of,
    stamped,
)
from contracts.events import EVENT_TYPES, EncounterReported, UnknownEventType

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def reported(**changes: object) -> Event:
    event = Event(
        id=uuid4(),
        time=NOON,
        source="/firstnotice/intake",
        data=EncounterReported(
            subject_number=1, record_version=1, encounter_at=NOON, discovered_at=NOON, accepted_at=NOON
        ),
        key=uuid4(),
        jurisdiction="MO",
        correlation_id=uuid4(),
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def over_the_wire(event: Event) -> Event:
    headers = encode_headers(event) + sequence_headers(5, 77)
    return decode(str(event.key).encode(), headers, encode_value(event))


uuids = st.none() | st.uuids()
texts = st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)


@given(
    causation_id=uuids,
    encounter_id=uuids,
    subject_id=uuids,
    key_id=uuids,
    agency=texts,
    law_version=texts,
    policy_version=texts,
    traceparent=texts,
    commitment=st.none() | st.binary(min_size=32, max_size=32),
    sealed=st.dictionaries(
        st.sampled_from(["age", "identity", "basis"]), st.builds(SealedGroup, st.binary(), st.binary())
    ),
)
def test_an_event_is_the_same_after_the_wire(**parts: object) -> None:
    event = reported(**parts)
    assert over_the_wire(event) == stamped(event, 5, 77)


def test_every_type_is_versioned_and_listed_once() -> None:
    assert all(name == cls.TYPE and name.endswith(".v1") for name, cls in EVENT_TYPES.items())


def test_members_of_a_newer_minor_release_are_ignored() -> None:
    event = reported()
    value = encode_value(event).replace(b'"subject_number":1', b'"subject_number":1,"of_later":true')
    assert decode(str(event.key).encode(), encode_headers(event) + sequence_headers(0, 0), value).data == event.data


def test_an_unknown_version_is_told_apart_from_garbage() -> None:
    event = reported()
    headers = tuple(
        (name, b"org.firstnotice.encounter.reported.v9" if name == "ce_type" else content)
        for name, content in encode_headers(event) + sequence_headers(0, 0)
    )
    with pytest.raises(UnknownEventType):
        decode(str(event.key).encode(), headers, encode_value(event))


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"data": {"subject_number": "canary-value"}}', b"\xff"])
def test_garbage_is_refused_and_never_quoted(value: bytes) -> None:
    event = reported()
    with pytest.raises(MalformedEvent) as refusal:
        decode(str(event.key).encode(), encode_headers(event) + sequence_headers(0, 0), value)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source", "ce_time", "ce_sequence"])
def test_a_missing_attribute_is_named(missing: str) -> None:
    event = reported()
    headers = tuple(pair for pair in encode_headers(event) + sequence_headers(0, 0) if pair[0] != missing)
    with pytest.raises(MalformedEvent, match=missing):
        decode(str(event.key).encode(), headers, encode_value(event))


@given(st.uuids())
def test_shards_are_fixed(key: UUID) -> None:
    """Changing this would break the density of every source's numbers."""
    assert shard_of(key) == key.int % 64
    assert SHARDS == 64
