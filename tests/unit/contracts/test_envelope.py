"""Events survive the wire; what is no event of ours is refused without quoting it."""

from contextlib import suppress
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


# -- records that somebody else wrote, or damaged --

headers_of_anybody = st.lists(
    st.tuples(
        st.sampled_from([name for name, _ in encode_headers(reported())] + ["ce_shard", "ce_sequence", "traceparent"])
        | st.text(max_size=12),
        st.binary(max_size=40) | st.none() | st.text(max_size=20).map(str.encode),
    ),
    max_size=12,
)
values_of_anybody = (
    st.binary(max_size=60)
    | st.just(b"[" * 50_000)
    | st.sampled_from(
        [b"{}", b"null", b'{"data":1}', b'{"data":{},"sealed":1}', b'{"data":{},"sealed":{"a":{"c":1,"h":2}}}']
    )
)


@given(
    key=st.binary(max_size=40) | st.uuids().map(lambda key: str(key).encode()),
    ours=st.booleans(),
    theirs=headers_of_anybody,
    value=values_of_anybody | st.none(),
    cut=st.integers(0, 400),
)
def test_whatever_a_record_holds_it_is_an_event_or_malformed(
    key: bytes, ours: bool, theirs: list[tuple[str, bytes]], value: bytes | None, cut: int
) -> None:
    """Total: a reader that raised anything else would stop for ever before this record."""
    event = reported()
    headers = (encode_headers(event) + sequence_headers(5, 77) if ours else ()) + tuple(theirs)
    content = encode_value(event)[:cut] if value is None else value
    with suppress(MalformedEvent, UnknownEventType):
        decode(key, headers, content)


@given(place=st.integers(0, 2000), bit=st.integers(0, 7))
def test_one_flipped_bit_is_no_other_failure(place: int, bit: int) -> None:
    event = reported()
    headers = encode_headers(event) + sequence_headers(5, 77)
    content = bytearray(b"".join(value for _, value in headers) + encode_value(event))
    content[place % len(content)] ^= 1 << bit
    flipped, at = [], 0
    for name, value in headers:
        flipped.append((name, bytes(content[at : at + len(value)])))
        at += len(value)
    with suppress(MalformedEvent, UnknownEventType):
        decode(str(event.key).encode(), tuple(flipped), bytes(content[at:]))


@pytest.mark.parametrize("value", [None, b"\xff\xfe", b"", b"x" * 100_000])
def test_headers_of_others_are_not_read(value: bytes | None) -> None:
    event = reported()
    headers = encode_headers(event) + sequence_headers(5, 77) + (("x-tracing-agent", value),)
    assert decode(str(event.key).encode(), headers, encode_value(event)) == stamped(event, 5, 77)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_shard", b"64"),
        ("ce_shard", b"-1"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"9" * 30),
        ("ce_time", b"2026-01-01"),
    ],
)
def test_numbers_and_moments_are_bounded(header: str, value: bytes) -> None:
    event = reported()
    headers = (*encode_headers(event), *sequence_headers(5, 77), (header, value))
    with pytest.raises(MalformedEvent):
        decode(str(event.key).encode(), headers, encode_value(event))
