import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import U2fErrorCode
from authenticators.u2f.facets import TrustedFacets, check_app_id, facet_of
from tests.support.refusals import outcome, refused

APP_ID = "https://box.example:3080/v1/u2f/facets"
FACETS = TrustedFacets.of(
    APP_ID, ["https://box.example:3080", "https://lab.box.example/", "https://BOX.example:443"]
)


def test_the_document_is_the_one_browsers_read():
    assert json.loads(FACETS.to_json()) == {
        "trustedFacets": [
            {
                "version": {"major": 1, "minor": 0},
                "ids": ["https://box.example:3080", "https://lab.box.example", "https://box.example"],
            }
        ]
    }
    assert TrustedFacets.from_json(APP_ID, FACETS.to_json()) == FACETS


def test_only_listed_origins_are_facets():
    assert "https://box.example:3080" in FACETS
    assert "https://evil.box.example" not in FACETS


@pytest.mark.parametrize(
    "app_id",
    [
        "http://box.example",
        "box.example",
        "https://",
        "https://a@b",
        "https://b?q",
        "https://b#f",
        "https://[b",
    ],
)
def test_an_app_id_is_an_https_url(app_id):
    with refused(U2fErrorCode.BAD_APP_ID):
        check_app_id(app_id)


@pytest.mark.parametrize(
    "origin",
    ["http://box.example", "https://box.example/path", "https://b:x", "https://b?q", "", "https://["],
)
def test_a_facet_is_an_https_origin(origin):
    with refused(U2fErrorCode.BAD_FACET):
        facet_of(origin)


@pytest.mark.parametrize("origin", ["https://evil.example", "https://notbox.example", "https://example"])
def test_a_facet_outside_the_app_id_s_host_is_refused_where_somebody_sees_it(origin):
    with refused(U2fErrorCode.BAD_FACET):
        TrustedFacets.of(APP_ID, [origin])


def test_lists_of_another_version_are_passed_over():
    document = {
        "trustedFacets": [
            {"version": {"major": 2, "minor": 0}, "ids": ["https://x"]},
            {"version": {"major": 1, "minor": 0}, "ids": ["https://box.example"]},
        ]
    }
    assert TrustedFacets.from_json(APP_ID, json.dumps(document)).facets == ("https://box.example",)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["trustedFacets", "version", "major", "ids"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_any_document_is_read_or_refused_with_a_code(document):
    result = outcome(TrustedFacets.from_json, APP_ID, json.dumps(document))
    assert result is U2fErrorCode.BAD_FACET or result.facets == ()
