"""Headless Chromium, driven by selenium, with virtual authenticators of the DevTools protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SECONDS = 15


@contextmanager
def chromium(profile: Path, *, trusted_spki: str = "", dark: bool = False) -> Iterator["Browser"]:
    """Start a browser with a profile of its own.

    It trusts the one server key named and no other bad certificate, as if its authority were installed.
    """
    options = Options()
    options.binary_location = str(CHROMIUM)
    switches = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]
    switches += [f"--user-data-dir={profile}", "--lang=en-GB"]
    switches += [f"--ignore-certificate-errors-spki-list={trusted_spki}"] * bool(trusted_spki)
    switches += ["--blink-settings=preferredColorScheme=0"] * dark
    for switch in switches:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What a person does with a browser, in words."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Go to an address."""
        self.driver.get(url)

    @property
    def heading(self) -> str:
        """The page's first heading."""
        return self.driver.find_element(By.CSS_SELECTOR, "h1").text

    @property
    def text(self) -> str:
        """The page's visible text."""
        return self.driver.execute_script("return document.body.innerText")

    def find(self, css: str):
        """Return the first element of a selector."""
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def fill(self, **fields: str) -> None:
        """Type into fields by their names."""
        for name, value in fields.items():
            element = self.driver.find_element(By.NAME, name)
            element.clear()
            element.send_keys(value)

    def click(self, label: str) -> None:
        """Click the button or link with this text."""
        path = f"//button[normalize-space()='{label}']|//a[normalize-space()='{label}']"
        self.driver.find_element(By.XPATH, path).click()

    def wait_for_heading(self, text: str) -> None:
        """Wait for the page with this heading; tells what is there instead when it does not come."""
        try:
            # a page that is being left answers with errors of all kinds
            wait = WebDriverWait(self.driver, SECONDS, 0.1, ignored_exceptions=(WebDriverException,))
            wait.until(lambda _: self._heads(text))
        except TimeoutException as error:
            raise AssertionError(f"expected {text!r}, not: {self.text[:800]}\n{self.console()}") from error

    def wait_for(self, css: str) -> None:
        """Wait until an element is there."""
        wait = WebDriverWait(self.driver, SECONDS, 0.1, ignored_exceptions=(WebDriverException,))
        wait.until(lambda _: self.driver.find_elements(By.CSS_SELECTOR, css))

    def wait_for_text(self, *texts: str) -> str:
        """Wait until the page says one of these and return it; tells what it says instead."""
        try:
            wait = WebDriverWait(self.driver, SECONDS, 0.1, ignored_exceptions=(WebDriverException,))
            return wait.until(lambda _: next((text for text in texts if text in self.text), ""))
        except TimeoutException as error:
            raise AssertionError(f"expected {texts!r}, not: {self.text[:800]}\n{self.console()}") from error

    def wait_until(self, script: str) -> None:
        """Wait until a script returns something true."""
        wait = WebDriverWait(self.driver, SECONDS, 0.1, ignored_exceptions=(WebDriverException,))
        wait.until(lambda _: self.driver.execute_script(script))

    def all(self, css: str):
        """Return all elements of a selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def sign_out(self) -> None:
        """Use the person's own menu."""
        self.find(".me summary").click()
        self.click("Sign out")
        self.wait_for_heading("You are signed out")

    def refused_by_policy(self) -> list[str]:
        """Return what the content security policy or trusted types stopped since the last look."""
        return [line for line in self.console() if "Content Security Policy" in line or "Trusted" in line]

    def forget(self) -> None:
        """Be a browser without cookies and without keys, as far from our pages as can be."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.execute_cdp_cmd("WebAuthn.disable", {})
        self.driver._authenticator_id = None  # selenium remembers the key that is gone
        self.open("about:blank")

    def devtools(self, command: str, **parameters):
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def plug_in_by_devtools(self) -> str:
        """Plug a key in whose insides can be reached; return its id."""
        self.devtools("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "usb",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
        }
        return self.devtools("WebAuthn.addVirtualAuthenticator", options=options)["authenticatorId"]

    def _heads(self, text: str) -> bool:
        return any(text in found.text for found in self.driver.find_elements(By.CSS_SELECTOR, "h1"))

    def console(self) -> list[str]:
        """Return what the page's console said, policy violations among it, since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def shot(self, path: Path, *, width: int, height: int = 0) -> None:
        """Save a picture of the whole page at this width."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height or 900, "deviceScaleFactor": 1, "mobile": False},
        )
        full = self.driver.execute_script("return Math.ceil(document.documentElement.scrollHeight)")
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height or max(full, 400), "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.save_screenshot(str(path))

    def dark(self, *, on: bool) -> None:
        """Switch the colour scheme the page is told of."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def plug_in(self, *, verifies_user: bool = True, u2f: bool = False, resident: bool = True) -> None:
        """Plug a virtual security key in."""
        options = VirtualAuthenticatorOptions()
        options.protocol = options.Protocol.U2F if u2f else options.Protocol.CTAP2
        options.transport = options.Transport.USB
        options.has_resident_key = resident and not u2f
        options.has_user_verification = verifies_user and not u2f
        options.is_user_verified = verifies_user and not u2f
        self.driver.add_virtual_authenticator(options)

    def unplug(self) -> None:
        """Take the key away."""
        self.driver.remove_virtual_authenticator()
