"""The people of the dual-authorisation story, and short ways to ask and to review in tests."""

from __future__ import annotations

from datetime import timedelta

from appliance.requests.ask import Requester, Wish, ask
from appliance.requests.canonical import request_digest
from appliance.requests.model import Verdict
from appliance.requests.review import Opinion, Reviewer, add_review
from tests.support.roles import NOW, person, role

ELEVATED = role(
    "elevated-access", version="v5", allow={"logins": ["root"], "node_labels": {"env": "prod", "type": "db"}}
)
DEVOPS = role(
    "devops",
    version="v5",
    allow={"request": {"roles": ["elevated-access"], "thresholds": [{"approve": 2, "deny": 1}]}},
)
DBREVIEWER = role("dbreviewer", version="v5", allow={"review_requests": {"roles": ["elevated-access"]}})
KNOWN = {one.name: one for one in (ELEVATED, DEVOPS, DBREVIEWER)}
MINUTE = timedelta(minutes=1)


def requester(name="bob", roles=(DEVOPS,), *, keys=(), **given):
    return Requester(subject=person(name, **given), roles=roles, keys=keys)


def asked(*roles, who=None, known=KNOWN, now=NOW, **wish):
    wish = Wish(roles=roles or ("elevated-access",), **wish)
    return ask(wish, who or requester(), known, now, request_id="r-1", cluster="here")


def reviewer(name, roles=(DBREVIEWER,), *, keys=(), granted_at=None, is_person=True, **given):
    return Reviewer(
        subject=person(name, **given), roles=roles, keys=keys, granted_at=granted_at, is_person=is_person
    )


def reviewed(request, who, verdict=Verdict.APPROVE, *, now=NOW + MINUTE, digest=None, **opinion):
    who = reviewer(who) if isinstance(who, str) else who
    said = Opinion(verdict=verdict, request_digest=digest or request_digest(request), **opinion)
    return add_review(request, who, said, now)
