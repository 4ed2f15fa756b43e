"""OTB Cloud in OTB Billing: signs the handoff (docs/handoff.md) and offers the services card.

This module and `templates/otb_cloud/` are what OTB Billing installs; they need Flask and PyJWT and nothing else of
this project:

    signer = HandoffSigner(shared_secret)
    app.register_blueprint(otb_cloud_blueprint(signer, "https://otb-cloud.outsidethebox.top", current_person))

and on its services page `{% from "otb_cloud/card.html" import card with context %}`. `current_person` returns who is
signed in, or aborts the request; that the POST is the customer's own doing (CSRF) is for the app around it to check, as
for its other forms.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt
from flask import Blueprint, Response, make_response, render_template

ISSUER: Final = "otb-billing"
AUDIENCE: Final = "otb-cloud"
LIFE_SECONDS: Final = 60
"""The longest that OTB Cloud accepts."""

JTI_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is signed in at OTB Billing. For role `staff`, `client` is the person's own id and `label` is not used."""

    client: str
    user: str
    email: str
    name: str
    role: Literal["owner", "member", "staff"]
    label: str


@dataclass(frozen=True, slots=True)
class HandoffSigner:
    """Signs handoffs: HS256 with the shared secret, or EdDSA with an Ed25519 private key in PEM."""

    key: str
    algorithm: Literal["HS256", "EdDSA"] = "HS256"

    def claims(self, person: Person, now_seconds: int | None = None) -> dict[str, Any]:
        """The claims of one handoff, with a new `jti`."""
        issued = int(time.time()) if now_seconds is None else now_seconds
        return {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": person.client,
            "uid": person.user,
            "email": person.email,
            "name": person.name,
            "role": person.role,
            "label": person.label,
            "iat": issued,
            "exp": issued + LIFE_SECONDS,
            "jti": secrets.token_urlsafe(JTI_BYTES),
        }

    def encode(self, claims: Mapping[str, Any]) -> str:
        """The signed token of these claims."""
        return jwt.encode(dict(claims), self.key, algorithm=self.algorithm)

    def sign(self, person: Person) -> str:
        """A handoff that is good for `LIFE_SECONDS`, once."""
        return self.encode(self.claims(person))


def otb_cloud_blueprint(signer: HandoffSigner, cloud_url: str, current_person: Callable[[], Person]) -> Blueprint:
    """`POST /services/otb-cloud` sends the browser on to OTB Cloud with a fresh handoff: a form, never an address."""
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
