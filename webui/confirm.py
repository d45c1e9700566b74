"""Saying yes to exactly one thing with a second factor (rows M1, X1, A7).

    a form that needs a proof    is shown again as what it would do, with its fields kept; the answer goes
                                 with them to the same address, and the call is made with the proof
    GET  /web/confirm/<id>       what a waiting ssh asks: the facts, and the short code to compare
    POST /web/confirm/<id>       the answer to that

The answer is judged before the view runs, so a view never sees a proof that was not met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, g, render_template, request

from appliance.domain.errors import Denied, Invalid, ProofNeeded, Throttled
from appliance.domain.operations.challenges import ChallengeAnswer, ChallengeNamed, ChallengeView
from appliance.domain.operations.people import CodeProof, WebauthnProof
from webui.forms import FIELD, text
from webui.person import api, person, signed_in
from webui.refusals import refuse, sentence
from webui.security import SAFE_METHODS
from webui.sign_up import read_credential

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

pages = Blueprint("confirm", __name__, url_prefix="/web/confirm")

CHALLENGE, CODE, CREDENTIAL = "confirm_challenge", "confirm_code", "confirm_credential"
OURS = frozenset({FIELD, CHALLENGE, CODE, CREDENTIAL})


@pages.get("/<id_>")
@signed_in
def ask(id_: str) -> ResponseReturnValue:
    """Show what a waiting command line asks for."""
    return _page(_shown(id_), waiting=True)


@pages.post("/<id_>")
@signed_in
def answered(id_: str) -> ResponseReturnValue:
    """Say that it was confirmed: the answer was judged on the way here."""
    if g.get("proof") != id_:
        raise Invalid("nothing was given to confirm with")
    return render_template("confirmed.html")


def _shown(id_: str) -> ChallengeView:
    view: ChallengeView = api().call("challenges.show", ChallengeNamed(id=id_))
    return view


def _page(shown: ChallengeView, *, waiting: bool, problem: str = "") -> str:
    kept = [(name, value) for name, value in request.form.items(multi=True) if name not in OURS]
    return render_template("confirm.html", shown=shown, kept=kept, waiting=waiting, problem=problem)


def ask_for_proof(error: ProofNeeded) -> ResponseReturnValue:
    """Show what a form would do, and ask for the proof; tools get the challenge's id."""
    if request.mimetype == "application/json":
        return refuse(error)
    person()
    return _page(_shown(error.challenge), waiting=False), error.status


def answer_first() -> ResponseReturnValue | None:
    """Judge the answer that came with a form; on a wrong one, ask again."""
    if request.method in SAFE_METHODS or not request.form.get(CHALLENGE):
        return None
    person()
    id_ = text(CHALLENGE, most=128)
    try:
        api().call("challenges.answer", ChallengeAnswer(id=id_, proof=_proof()))
    except (Denied, Invalid, Throttled) as error:
        waiting = request.endpoint == "confirm.answered"
        return _page(_shown(id_), waiting=waiting, problem=sentence(str(error))), error.status
    g.proof = id_
    return None


def _proof() -> CodeProof | WebauthnProof:
    if credential := text(CREDENTIAL):
        return WebauthnProof(response=read_credential(credential))
    if code := text(CODE, most=64).replace(" ", ""):
        return CodeProof(code=code)
    raise Invalid("use a key or type a code")


def install(app: Flask) -> None:
    """Answer forms that need a proof, and judge proofs that come with forms."""
    app.before_request(answer_first)
    app.register_error_handler(ProofNeeded, ask_for_proof)
