"""RFC 7512 URIs: what is understood, what is refused, and that they are written as they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm import uri
from hsm.errors import Malformed
from hsm.uri import Pkcs11Uri

texts = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)


def test_the_forms_of_the_standard_are_read():
    read = uri.parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;slot-id=3"
    )
    assert read.token == "The Software PKCS#11 Softtoken"
    assert read.manufacturer == "Snake Oil, Inc."
    assert (read.model, read.slot_id, read.module_path) == ("1.0", 3, None)
    read = uri.parse("pkcs11:token=ca?module-path=/usr/lib/x.so&pin-source=file:///etc/pin")
    assert read.module_path == Path("/usr/lib/x.so")
    assert read.pin_source == Path("/etc/pin")


@given(
    st.builds(
        Pkcs11Uri,
        token=texts,
        manufacturer=texts,
        serial=texts,
        model=texts,
        slot_id=st.none() | st.integers(0, 2**32),
        module_path=st.none() | st.just(Path("/usr/lib/a b&c?.so")),
    )
)
def test_what_is_written_is_read_back(value):
    assert uri.parse(str(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "pkcs12:token=x",
        "pkcs11:token",
        "pkcs11:token=a;token=b",
        "pkcs11:object=key",
        "pkcs11:token=x?pin-value=1234",
        "pkcs11:token=x?module-path=relative.so",
        "pkcs11:token=%ff",
        "pkcs11:slot-id=one",
        "pkcs11:slot-id=\u0661",
    ],
)
def test_what_has_no_place_is_refused_and_a_pin_is_not_repeated(text):
    with pytest.raises(Malformed) as refused:
        uri.parse(text)
    assert "1234" not in str(refused.value)
