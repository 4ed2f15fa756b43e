"""What OTB Billing signs: handoffs of people, and reports of a customer's status. One key; `aud` tells them apart."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Optional

import jwt

ISSUER: Final = "otb-billing"
AUDIENCE: Final = "otb-cloud"
REPORT_AUDIENCE: Final = "otb-cloud-billing"
LIFE_SECONDS: Final = 60
"""The longest that OTB Cloud accepts."""

JTI_BYTES: Final = 16


@dataclass(frozen=True)
class Person:
    """Who is signed in at OTB Billing. For role `staff`, `client` is the person's own id and `label` is not used."""

    client: str
    user: str
    email: str
    name: str
    role: Literal["owner", "member", "staff"]
    label: str


@dataclass(frozen=True)
class HandoffSigner:
    """Signs with HS256 and the shared secret, or with EdDSA and an Ed25519 private key in PEM."""

    key: str
    algorithm: Literal["HS256", "EdDSA"] = "HS256"

    def claims(self, person: Person, now_seconds: Optional[int] = None) -> dict[str, Any]:
        """The claims of one handoff, with a new `jti`."""
        return self._dated(AUDIENCE, person.client, now_seconds) | {
            "uid": person.user,
            "email": person.email,
            "name": person.name,
            "role": person.role,
            "label": person.label,
        }

    def encode(self, claims: Mapping[str, Any]) -> str:
        """The signed token of these claims."""
        return jwt.encode(dict(claims), self.key, algorithm=self.algorithm)

    def sign(self, person: Person) -> str:
        """A handoff that is good for `LIFE_SECONDS`, once."""
        return self.encode(self.claims(person))

    def sign_report(self, client: str, status: str, now_seconds: Optional[int] = None) -> str:
        """A report of a customer's status that is good for `LIFE_SECONDS`, once."""
        return self.encode(self._dated(REPORT_AUDIENCE, client, now_seconds) | {"status": status})

    def _dated(self, audience: str, subject: str, now_seconds: Optional[int]) -> dict[str, Any]:
        issued = int(time.time()) if now_seconds is None else now_seconds
        return {
            "iss": ISSUER,
            "aud": audience,
            "sub": subject,
            "iat": issued,
            "exp": issued + LIFE_SECONDS,
            "jti": secrets.token_urlsafe(JTI_BYTES),
        }
