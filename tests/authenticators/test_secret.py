import copy
import json

import pytest

from authenticators.secret import Secret


def test_a_secret_is_not_shown():
    assert repr(Secret(b"hunter2")) == str(Secret(b"hunter2")) == f"{Secret(b'hunter2')}" == "<secret>"


def test_a_secret_is_equal_to_the_same_secret_only():
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"
    assert len(Secret(b"abc")) == 3
    assert Secret(b"abc").reveal() == b"abc"


def test_a_secret_is_not_hashed_written_or_copied_by_accident():
    with pytest.raises(TypeError):
        hash(Secret(b"a"))
    with pytest.raises(TypeError):
        json.dumps(Secret(b"a"))
    with pytest.raises(TypeError):
        copy.copy(Secret(b"a"))
