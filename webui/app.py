"""The factory: one Flask application, made of its blueprints and the checks around them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flask import Blueprint, Flask
from jinja2 import StrictUndefined

from appliance import player
from webui import (
    account,
    browser_login,
    confirm,
    events,
    forms,
    node_files,
    nodes,
    person,
    present,
    refusals,
    security,
    sessions,
    sign_in,
    sign_up,
    trust,
    users,
    webapi,
)
from webui.limits import RateLimit
from webui.settings import KEY, ClusterFacts, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.client import Api
    from webui.config import WebConfig

MAX_FORM_PARTS = 64
BLUEPRINTS = (
    account.pages,
    browser_login.pages,
    confirm.pages,
    events.pages,
    node_files.doors,
    nodes.pages,
    Blueprint("player", "webui.player", static_folder=player.FOLDER, static_url_path="/static/player"),
    sessions.pages,
    sign_in.pages,
    sign_up.pages,
    trust.pages,
    users.pages,
    webapi.doors,
)


def create_app(config: WebConfig, api: Api, *, clock: Callable[[], float] = time.monotonic) -> Flask:
    """Return the application. `api` reaches the auth service; `clock` counts seconds for limits."""
    app = Flask("webui", static_url_path="/static")
    app.config.update(
        MAX_CONTENT_LENGTH=config.limits.body_bytes,
        MAX_FORM_MEMORY_SIZE=config.limits.body_bytes,
        MAX_FORM_PARTS=MAX_FORM_PARTS,
        TRUSTED_HOSTS=None,  # see security.check_host, which knows the tools' doors from the pages
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    limits = config.limits
    app.extensions[KEY] = Settings(
        config=config,
        api=api,
        cluster=ClusterFacts(api, clock),
        calls=RateLimit(rate=limits.calls_per_second, burst=limits.calls_burst, clock=clock),
    )
    for part in (security, forms, present, refusals, confirm):
        part.install(app)
    app.jinja_env.globals["may"] = person.may
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app
