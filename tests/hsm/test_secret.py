"""A secret shows in no printed form."""

from __future__ import annotations

import copy
import json
import logging
import pickle  # noqa: TID251  # to see that it is refused
import traceback

import pytest

from hsm.secret import Secret
from hsm.signer.protocol import Unseal


def test_it_prints_as_a_word_wherever_it_is_printed(caplog):
    secret = Secret("12345678")
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("%s %r", secret, [secret])
    shown = [
        str(secret),
        repr(secret),
        f"{secret:>20}",
        str({"pin": secret}),
        caplog.text,
        repr(Unseal(pin="12345678")),
    ]
    shown += traceback.format_exception(ValueError(secret))
    assert not any("1234" in text for text in shown)


def test_it_is_not_serialised_and_not_hashed():
    secret = Secret("12345678")
    for act in (pickle.dumps, json.dumps, hash, copy.copy):
        with pytest.raises(TypeError):
            act(secret)


def test_it_compares_by_value_and_reveals_on_request():
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("ä").reveal() == "ä".encode()
    assert Secret("ä").reveal_text() == "ä"
    assert not Secret("")
