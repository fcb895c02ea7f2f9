"""Keys as columns of bytes: where each is among others, and which names are keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailboard.harness.storage.packed_keys import all_differ, are_keys, of_files, packed, positions, texts, unique

ALIKE = [f"{'ab' * 8}{end}" for end in ("0000", "0001", "ffff")]  # their first eight bytes are the same
KEYS = st.one_of(st.sampled_from(ALIKE), st.binary(min_size=10, max_size=10).map(bytes.hex))


@given(wanted=st.lists(KEYS), among=st.lists(KEYS, unique=True))
def test_each_key_is_found_where_it_is(wanted, among):
    found = positions(packed(wanted), packed(among)).tolist()
    assert found == [among.index(key) if key in among else -1 for key in wanted]


@given(st.lists(KEYS))
def test_keys_are_told_apart_by_all_of_their_bytes(keys):
    assert texts(packed(keys)) == keys
    assert all_differ(packed(keys)) == (len(set(keys)) == len(keys))
    assert set(texts(unique(packed(keys)))) == set(keys) and len(unique(packed(keys))) == len(set(keys))


def test_only_twenty_small_digits_are_a_key():
    names = [
        "0123456789abcdef0123",
        "0123456789ABCDEF0123",
        "0123456789abcdef 123",
        "0123456789abcdef012é",
        "\udcff" * 20,
    ]
    assert are_keys(names).tolist() == [True, False, False, False, False]
    assert are_keys([]).shape == (0,)
    files = [*(f"{name}.json" for name in names), "0123456789abcdef0124xjson", f"{names[0]}.jsox", "plan.json", ""]
    assert texts(of_files(files, ".json")) == names[:1] == texts(of_files(names, ""))
    assert of_files([], ".json").shape == (0, 10)
    with pytest.raises(ValueError):
        packed(["abc"])
    assert packed([]).shape == (0, 10) and packed([]).dtype == np.uint8
