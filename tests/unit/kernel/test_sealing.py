"""What sealing promises: it opens only in its place, for whom it was granted, exactly as it was committed to."""

import os
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.envelope import SealedGroup
from contracts.facts import FieldGroup
from kernel.errors import PoisonEvent
from kernel.sealing import DataKey, SealBroken, Sealed, commitment_of, seal, unseal

EVERYTHING = frozenset(FieldGroup)
VALUES = {FieldGroup.AGE: {"years": 15}, FieldGroup.NARRATIVE: "told the officer"}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
)
groups = st.dictionaries(st.sampled_from(FieldGroup), json_values, max_size=5)


def a_key() -> DataKey:
    return DataKey(uuid4(), uuid4(), os.urandom(32))


@given(values=groups)
def test_what_was_sealed_opens_as_it_was(values: dict[FieldGroup, Any]) -> None:
    key, context = a_key(), uuid4()
    sealed = Sealed.decode(seal(key, context, values).encode())
    assert unseal(key, context, sealed.groups, EVERYTHING) == values
    assert sealed.key_id == key.key_id
    assert sealed.commitment == commitment_of(sealed.groups)


@given(data=st.data())
def test_any_flipped_bit_breaks_the_seal(data: st.DataObject) -> None:
    key, context = a_key(), uuid4()
    part = seal(key, context, VALUES).groups["age"]
    member = data.draw(st.sampled_from(["ciphertext", "commitment"]))
    altered = bytearray(getattr(part, member))
    position = data.draw(st.integers(0, len(altered) - 1))
    altered[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        unseal(key, context, {"age": replace(part, **{member: bytes(altered)})}, EVERYTHING)


@given(cut=st.integers(0, 60))
def test_a_shortened_seal_breaks(cut: int) -> None:
    key, context = a_key(), uuid4()
    part = seal(key, context, VALUES).groups["age"]
    with pytest.raises(SealBroken):
        unseal(key, context, {"age": SealedGroup(part.ciphertext[:cut], part.commitment)}, EVERYTHING)


def test_a_seal_opens_in_no_other_place() -> None:
    key, context = a_key(), uuid4()
    sealed = seal(key, context, VALUES)
    elsewhere: list[tuple[DataKey, UUID, dict[str, SealedGroup]]] = [
        (key, uuid4(), sealed.groups),
        (DataKey(key.key_id, uuid4(), key.secret), context, sealed.groups),
        (DataKey(key.key_id, key.subject_id, os.urandom(32)), context, sealed.groups),
        (key, context, {"identity": sealed.groups["age"]}),
    ]
    for other_key, other_context, other_groups in elsewhere:
        with pytest.raises(SealBroken) as caught:
            unseal(other_key, other_context, other_groups, EVERYTHING)
        assert isinstance(caught.value, PoisonEvent)


def test_what_is_not_granted_stays_closed() -> None:
    key, context = a_key(), uuid4()
    sealed = seal(key, context, VALUES)
    assert unseal(key, context, sealed.groups, {FieldGroup.AGE}) == {FieldGroup.AGE: {"years": 15}}
    assert unseal(key, context, sealed.groups, frozenset()) == {}
    # Not even looked at: a group that this service may not open cannot make it park the event.
    broken = {**sealed.groups, "narrative": SealedGroup(b"", b""), "of-a-later-version": SealedGroup(b"", b"")}
    assert unseal(key, context, broken, {FieldGroup.AGE}) == {FieldGroup.AGE: {"years": 15}}


def test_the_same_value_never_looks_the_same() -> None:
    key, context = a_key(), uuid4()
    one, two = seal(key, context, VALUES), seal(key, context, VALUES)
    assert one.commitment != two.commitment
    assert one.groups["age"].ciphertext != two.groups["age"].ciphertext
    assert one.groups["age"].commitment != two.groups["age"].commitment


def test_the_commitment_covers_every_group_and_its_name() -> None:
    key, context = a_key(), uuid4()
    parts = seal(key, context, VALUES).groups
    whole = commitment_of(parts)
    assert whole == commitment_of(dict(reversed(parts.items())))
    assert whole != commitment_of({"age": parts["age"]})
    assert whole != commitment_of({"age": parts["narrative"], "narrative": parts["age"]})


def test_the_format_is_fixed_for_ever() -> None:
    """Stored seals outlive this code: the bytes of a known seal must not change."""
    counter = iter(range(1, 100))
    key = DataKey(UUID(int=1), UUID(int=2), bytes(range(32)))
    sealed = seal(key, UUID(int=3), {FieldGroup.AGE: {"years": 15}}, random=lambda n: bytes([next(counter)]) * n)
    assert sealed.commitment.hex() == "a5e1750337172e8d2dc2b13661130f6307d2c8f3722bb2221a069b2a007f34f1"
    assert sealed.groups["age"].ciphertext.hex().startswith("02" * 12)
    assert sealed.groups["age"].ciphertext[-16:].hex() == "2253271a25139b3bb450f65120b6ea6e"


def test_a_key_never_shows_itself() -> None:
    key = a_key()
    seal(key, uuid4(), VALUES)
    assert repr(key.secret) not in repr(key)
    assert "secret" not in repr(key)


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x93\x01\x02\x03", os.urandom(64)], ids=range(4))
def test_bytes_that_are_no_seal_are_told_so(stored: bytes) -> None:
    with pytest.raises(SealBroken):
        Sealed.decode(stored)


def test_large_values_are_sealed_smaller_than_they_are_and_open_as_they_were() -> None:
    key, context = a_key(), uuid4()
    large = {FieldGroup.DETERMINATION: [{"program": f"program-{n}", "outcome": "eligible"} for n in range(500)]}
    sealed = seal(key, context, large)
    assert len(sealed.groups["determination"].ciphertext) < 5_000
    assert unseal(key, context, sealed.groups, EVERYTHING) == large
