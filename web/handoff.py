"""The handoff from OTB Billing: verifies the portal's signed, one-time token.

Its specification is docs/handoff.md.

What always holds: the algorithm is fixed by the settings and never by the token; every claim has a length
limit; nothing here logs the token or puts it into an error. That a `jti` is spent once is the catalog's, in
the transaction that makes the session.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from catalog.settings import BadSettings, Settings
from catalog.values import BillingReport, BillingStatus, HandoffClaims, Role
from web.limits import CLAIM_CHARACTERS_MAX, HANDOFF_SECONDS_MAX, HANDOFF_TOKEN_BYTES_MAX
from web.paths import has_control_characters

E = TypeVar("E", bound=StrEnum)

HANDOFF_VERSION: Final = 1
ISSUER: Final = "otb-billing"
AUDIENCE: Final = "otb-cloud"
REPORT_AUDIENCE: Final = "otb-cloud-billing"

_SUBJECT_CHARACTERS_MAX: Final = 128
_EMAIL_CHARACTERS_MAX: Final = 254
_JTI_CHARACTERS_MAX: Final = 255
_JTI_CHARACTERS_MIN: Final = 16
"""The shortest text that can carry the 128 random bits asked for."""


class Refusal(StrEnum):
    """Why a handoff was refused: the audit event's reason, and the choice of the page's sentence."""

    MISSING = "missing"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    FORGED = "forged"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    MALFORMED = "malformed"
    REPLAYED = "replayed"
    SUSPENDED = "suspended"


class HandoffRefused(Exception):
    """The token is not a valid handoff; the text says what is wrong with it, never the token itself."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HandoffVerifier:
    """Verifies tokens under one key, and while keys are exchanged under the one before as well.

    `skew_seconds` is leeway on `iat` and on `exp`.
    """

    algorithm: str
    key: str | bytes | Ed25519PublicKey
    skew_seconds: int
    key_before: str | bytes | Ed25519PublicKey | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "HandoffVerifier":
        """EdDSA where a public key is configured, else HS256.

        Raises `BadSettings` for a key file that is none.
        """
        skew_seconds = settings.otb_portal_allowed_skew_seconds
        file, before = settings.otb_portal_public_key_file, settings.otb_portal_public_key_file_before
        if file is not None:
            return cls("EdDSA", _public_key(file), skew_seconds, _public_key(before) if before else None)
        return cls(
            "HS256", settings.otb_portal_shared_secret, skew_seconds, settings.otb_portal_shared_secret_before or None
        )

    def verify(self, token: str) -> HandoffClaims:
        """The token's claims. Raises `HandoffRefused`."""
        if not token:
            raise HandoffRefused(Refusal.MISSING, "No handoff token came.")
        if len(token) > HANDOFF_TOKEN_BYTES_MAX:
            raise HandoffRefused(Refusal.MALFORMED, "The token is longer than a handoff can be.")
        return _claims(self._verified(token, AUDIENCE), self.skew_seconds)

    def verify_report(self, token: str) -> BillingReport:
        """A report on a customer's status, which no handoff can be taken for. Raises `HandoffRefused`."""
        payload = self._verified(token, REPORT_AUDIENCE)
        return BillingReport(
            jti=_jti(payload), expires_at=_end(payload, self.skew_seconds), billing_client=_client(payload),
            status=_one_of(BillingStatus, payload, "status"),
        )  # fmt: skip

    def _verified(self, token: str, audience: str) -> dict[str, Any]:
        try:
            return self._payload(token, audience, self.key)
        except HandoffRefused as refused:
            if refused.reason is not Refusal.FORGED or self.key_before is None:
                raise
            return self._payload(token, audience, self.key_before)

    def _payload(self, token: str, audience: str, key: str | bytes | Ed25519PublicKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[self.algorithm],
                audience=audience,
                issuer=ISSUER,
                leeway=self.skew_seconds,
                options={"require": ["iss", "aud", "sub", "iat", "exp", "jti"], "strict_aud": True},
            )
        except jwt.PyJWTError as e:
            raise HandoffRefused(_reason(e), type(e).__name__) from e


def _public_key(file: Path) -> Ed25519PublicKey:
    """Read when the server starts, so that a wrong file is told at once and not to every customer."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as e:
        raise BadSettings(
            [f"OTB_PORTAL_PUBLIC_KEY_FILE names {file}, which cannot be read as a PEM public key."]
        ) from e
    if not isinstance(key, Ed25519PublicKey):
        raise BadSettings([f"OTB_PORTAL_PUBLIC_KEY_FILE names {file}, which holds another kind of key than Ed25519."])
    return key


def _reason(error: jwt.PyJWTError) -> Refusal:
    match error:
        case jwt.ExpiredSignatureError():
            return Refusal.EXPIRED
        case jwt.ImmatureSignatureError():
            return Refusal.NOT_YET_VALID
        case jwt.InvalidAudienceError():
            return Refusal.WRONG_AUDIENCE
        case jwt.InvalidIssuerError():
            return Refusal.WRONG_ISSUER
        case jwt.InvalidSignatureError() | jwt.InvalidAlgorithmError() | jwt.InvalidKeyError():
            return Refusal.FORGED
        case _:
            return Refusal.MALFORMED


def _claims(payload: dict[str, Any], skew_seconds: int) -> HandoffClaims:
    email = _text(payload, "email", _EMAIL_CHARACTERS_MAX).lower()
    uid = _text(payload, "uid", _EMAIL_CHARACTERS_MAX)
    name, client, role = _text(payload, "name", CLAIM_CHARACTERS_MAX), _client(payload), _one_of(Role, payload, "role")
    if not (uid or email):
        raise HandoffRefused(Refusal.MALFORMED, "Neither uid nor email is set.")
    return HandoffClaims(
        jti=_jti(payload),
        expires_at=_end(payload, skew_seconds),
        billing_client=client,
        subject=client if role is Role.STAFF else uid or email,
        email=email,
        name=name or email or uid,
        label=_text(payload, "label", CLAIM_CHARACTERS_MAX) or name or email or uid,
        role=role,
    )


def _client(payload: dict[str, Any]) -> str:
    """`sub`: the billing client, which is the tenant; of staff, the person."""
    return _text(payload, "sub", _SUBJECT_CHARACTERS_MAX, least=1)


def _text(payload: dict[str, Any], claim: str, most: int, least: int = 0) -> str:
    value = payload.get(claim, "")
    if value is None:
        value = ""
    if not isinstance(value, str) or has_control_characters(value):
        raise HandoffRefused(Refusal.MALFORMED, f"{claim} is not plain text.")
    value = value.strip()
    if not least <= len(value) <= most:
        raise HandoffRefused(Refusal.MALFORMED, f"{claim} must have {least} to {most} characters.")
    return value


def _jti(payload: dict[str, Any]) -> str:
    return _text(payload, "jti", _JTI_CHARACTERS_MAX, least=_JTI_CHARACTERS_MIN)


def _end(payload: dict[str, Any], skew_seconds: int) -> datetime:
    """When the token ends for good: its `exp` and the leeway."""
    return datetime.fromtimestamp(_expiry(payload) + skew_seconds, UTC)


def _expiry(payload: dict[str, Any]) -> int:
    issued, expires = payload["iat"], payload["exp"]
    if type(issued) is not int or type(expires) is not int:
        raise HandoffRefused(Refusal.MALFORMED, "iat and exp must be whole seconds.")
    if not issued < expires <= issued + HANDOFF_SECONDS_MAX:
        raise HandoffRefused(Refusal.MALFORMED, f"exp must be at most {HANDOFF_SECONDS_MAX} s after iat.")
    return expires


def _one_of(kind: type[E], payload: dict[str, Any], claim: str) -> E:
    value = payload.get(claim)
    if not isinstance(value, str) or value not in set(kind):
        raise HandoffRefused(Refusal.MALFORMED, f"{claim} must be one of {', '.join(kind)}.")
    return kind(value)
