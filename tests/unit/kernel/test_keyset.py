"""What the keyset promises: nobody else reads it, nobody's keys are lost, rotation keeps old data readable."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from kernel.errors import ConfigurationError, Unavailable
from kernel.keyset import KeyMissing, Keyset
from kernel.sealing import SealBroken


def test_a_new_keyset_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "keyset.json"
    made = Keyset.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keyset.load(path) == made
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_keyset_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keyset.json"
    Keyset.create(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Keyset.load(path)


def test_a_keyset_may_not_lie_with_the_data_it_protects(tmp_path: Path) -> None:
    inside = tmp_path / "data" / "conf" / ".." / "keyset.json"
    with pytest.raises(ConfigurationError, match="outside the data directory"):
        Keyset.create(inside, data_directory=tmp_path / "data")
    assert not inside.exists()


def test_of_many_starters_all_get_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "keyset.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Keyset.create(path), range(16)))
    assert all(keyset == made[0] for keyset in made)


def test_after_a_rotation_new_keys_use_the_new_one_and_old_ones_still_open(tmp_path: Path) -> None:
    path = tmp_path / "keyset.json"
    old = Keyset.create(path)
    key_id, subject, secret = uuid4(), uuid4(), os.urandom(32)
    kek_id, wrapped = old.wrap(key_id, subject, secret)
    old.rotated().save(path)
    new = Keyset.load(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert new.current != old.current
    assert new.wrap(key_id, subject, secret)[0] == new.current
    assert new.unwrap(kek_id, key_id, subject, wrapped) == secret
    assert new.blind_index("incident", "A-1") == old.blind_index("incident", "A-1")


def test_a_process_with_an_older_keyset_waits_and_parks_nothing() -> None:
    old = Keyset.generate()
    key_id, subject = uuid4(), uuid4()
    kek_id, wrapped = old.rotated().wrap(key_id, subject, os.urandom(32))
    with pytest.raises(KeyMissing) as caught:
        old.unwrap(kek_id, key_id, subject, wrapped)
    assert isinstance(caught.value, Unavailable)


def test_a_wrapped_key_serves_no_other_subject() -> None:
    keyset, key_id, subject = Keyset.generate(), uuid4(), uuid4()
    kek_id, wrapped = keyset.wrap(key_id, subject, os.urandom(32))
    for other in ((uuid4(), subject, wrapped), (key_id, uuid4(), wrapped), (key_id, subject, wrapped[:-1])):
        with pytest.raises(SealBroken):
            keyset.unwrap(kek_id, *other)


def test_a_blind_index_separates_labels_and_needs_the_key() -> None:
    keyset = Keyset.generate()
    assert keyset.blind_index("incident", "A-1") == keyset.blind_index("incident", "A-1")
    assert keyset.blind_index("ab", "c") != keyset.blind_index("a", "bc")
    assert keyset.blind_index("incident", "A-1") != Keyset.generate().blind_index("incident", "A-1")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"version": 1, "keks": {}, "current": "a", "blind_index": "AAAA"}']
)
def test_a_file_that_is_no_keyset_is_told_so_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keyset.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not a keyset"):
        Keyset.load(path)


def test_no_key_shows_in_repr_or_in_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "keyset.json"
    keyset = Keyset.create(path)
    document = orjson.loads(path.read_bytes())
    secrets = [*document["keks"].values(), document["blind_index"]]
    document["keks"]["kek-x"] = "not base64 !"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(ConfigurationError) as caught:
        Keyset.load(path)
    assert not any(secret in repr(keyset) + str(caught.value) for secret in secrets)


def test_a_missing_keyset_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="restore it"):
        Keyset.load(tmp_path / "keyset.json")
