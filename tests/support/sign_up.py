"""People in front of the sign-up page, with an authenticator app or with a security key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.box import OneTimeCodes

if TYPE_CHECKING:
    from tests.support.browser import Browser


@dataclass(frozen=True, kw_only=True)
class SignedUp:
    """What somebody has in hand afterwards. `codes` only with an app."""

    password: str
    recovery_codes: tuple[str, ...]
    codes: OneTimeCodes | None = None


def with_app(browser: Browser, link: str, password: str) -> SignedUp:
    """Open the link, choose a password and enrol an authenticator app."""
    browser.open(link)
    browser.click("Use an authenticator app")
    browser.wait_for_heading("Set up an authenticator app")
    codes = OneTimeCodes(browser.find("input[name=secret]").get_attribute("value"))
    browser.fill(password=password, again=password, code=codes.next(), device_name="phone")
    browser.click("Finish")
    return SignedUp(password=password, recovery_codes=_recovery_codes(browser), codes=codes)


def with_key(browser: Browser, link: str, password: str) -> SignedUp:
    """Open the link, choose a password and register the security key that is plugged in."""
    browser.open(link)
    browser.click("Use a security key or passkey")
    browser.wait_for_heading("Set up a security key or passkey")
    browser.fill(password=password, again=password, device_name="blue key")
    browser.click("Register the key")
    return SignedUp(password=password, recovery_codes=_recovery_codes(browser))


def _recovery_codes(browser: Browser) -> tuple[str, ...]:
    browser.wait_for_heading("Keep your recovery codes")
    return tuple(code.text for code in browser.all("#codes code"))
