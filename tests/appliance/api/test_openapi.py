"""The OpenAPI description: whole and sound. (That docs/ has the same is for tests/docs to say.)"""

from appliance import __version__
from appliance.api.openapi import describe
from appliance.domain.operations import OPERATIONS

DOCUMENT = describe(__version__)


def references(value):
    match value:
        case {"$ref": reference}:
            yield reference
        case dict():
            for item in value.values():
                yield from references(item)
        case list():
            for item in value:
                yield from references(item)


def test_every_operation_is_described_with_its_callers_and_its_rule():
    assert DOCUMENT["paths"].keys() == {f"/v1/{name}" for name in OPERATIONS}
    for name, one in OPERATIONS.items():
        described = DOCUMENT["paths"][f"/v1/{name}"]["post"]
        assert described["operationId"] == name
        assert described["summary"] == one.summary
        assert described["x-callers"] == sorted(one.callers)
        assert described["x-admin"] is one.admin
        assert ("x-rule" in described) is (one.rule is not None)


def test_every_reference_leads_somewhere_and_every_schema_is_used():
    schemas = DOCUMENT["components"]["schemas"]
    used = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert used == schemas.keys()


def test_every_schema_is_closed_and_says_what_it_is():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
        assert schema["description"], name
        assert set(schema["required"]) <= schema["properties"].keys(), name
