"""A browser without a screen, over Flask's test client: keeps cookies, sends back the forms it was given."""

import re
from pathlib import Path

from tests.support.memory_auth import MemoryAuth
from webui.app import create_app
from webui.config import WebConfig, WebLimits

ADDRESS = "box.example:3080"
BASE = f"https://{ADDRESS}"
SESSION, FORM = "__Host-sallyport", "__Host-sallyport-form"
_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


class HandClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def config(**limits) -> WebConfig:
    """Return a configuration; its files are only read by the server."""
    nowhere = Path("does-not-matter")
    return WebConfig(
        listen=("127.0.0.1", 0), address=ADDRESS, certificate=nowhere, key=nowhere, limits=WebLimits(**limits)
    )


class Visitor:
    """One browser at one address."""

    def __init__(self, auth: MemoryAuth, *, source="192.0.2.7", clock=None, app=None, **limits) -> None:
        self.auth = auth
        self.app = app or create_app(config(**limits), auth.api(), clock=clock or HandClock())
        self.client = self.app.test_client()
        self.environ = {"REMOTE_ADDR": source}
        self.token = ""

    def get(self, path, **more):
        """Open a page."""
        return self._seen(
            self.client.get(path, base_url=BASE, environ_overrides=self.environ, buffered=True, **more)
        )

    def post(self, path, fields=None, *, headers=None, token=None, **more):
        """Send a form as the last page's own form would."""
        data = {"form_token": self.token if token is None else token} | (fields or {})
        own = {"Origin": BASE, "Sec-Fetch-Site": "same-origin"} | (headers or {})
        own = {name: value for name, value in own.items() if value is not None}
        answer = self.client.post(
            path, base_url=BASE, environ_overrides=self.environ, data=data, headers=own, **more
        )
        return self._seen(answer)

    def call(self, path, body, **more):
        """Send JSON, as tools do."""
        return self.client.post(
            path,
            base_url=BASE,
            environ_overrides=self.environ,
            data=body,
            content_type="application/json",
            **more,
        )

    def cookie(self, name):
        """Return a cookie's value."""
        found = self.client.get_cookie(name, domain="box.example")
        return found.value if found else None

    def as_user(self, user):
        """Carry the cookie of a session of this user, and a fresh form."""
        self.client.set_cookie(SESSION, self.auth.session(user), domain="box.example", secure=True)
        self.get("/web/account")
        return self

    def _seen(self, answer):
        if found := _TOKEN.search(answer.get_data().decode("utf-8", "replace")):
            self.token = found[1]
        return answer
