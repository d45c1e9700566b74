"""Saying in a test which rule of the authenticators library a proof broke."""

import pytest

from authenticators.errors import AuthenticatorError


def refused(code):
    """Expect an `AuthenticatorError` of exactly this code (of this enum, not only of this text)."""
    return pytest.raises(AuthenticatorError, check=lambda error: error.code is code)


def outcome(call, *arguments, **named):
    """Return what the call returned, or the code of its refusal; a crash passes on."""
    try:
        return call(*arguments, **named)
    except AuthenticatorError as error:
        return error.code
