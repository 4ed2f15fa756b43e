"""The route that sends a signed-in customer on to OTB Cloud, and the template of the services card."""

import secrets
from typing import Callable

from flask import Blueprint, Response, make_response, render_template

from otb_cloud_billing.signing import HandoffSigner, Person


def otb_cloud_blueprint(signer: HandoffSigner, cloud_url: str, current_person: Callable[[], Person]) -> Blueprint:
    """`POST /services/otb-cloud` sends the browser on to OTB Cloud with a fresh handoff: a form, never an address.

    `current_person` returns who is signed in, or aborts the request.
    """
    blueprint = Blueprint("otb_cloud", __name__, template_folder="templates")

    @blueprint.post("/services/otb-cloud")
    def open_cloud() -> Response:
        nonce = secrets.token_urlsafe(16)
        page = render_template(
            "otb_cloud/handoff.html",
            action=f"{cloud_url}/auth/handoff",
            token=signer.sign(current_person()),
            nonce=nonce,
        )
        response = make_response(page)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "strict-origin"
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; form-action {cloud_url}; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        return response

    return blueprint
