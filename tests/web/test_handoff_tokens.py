"""The verifier of the portal's tokens: what it takes, and each thing that it refuses."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from catalog.values import Role
from web.handoff import HandoffRefused, HandoffVerifier, Refusal

SECRET = "s" * 32
SKEW_SECONDS = 300
VERIFIER = HandoffVerifier("HS256", SECRET, SKEW_SECONDS)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with some changed; None leaves one out."""
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": "otb-billing",
        "aud": "otb-cloud",
        "sub": "1001",
        "uid": "7",
        "email": "Ana@Maple.example",
        "name": "Ana Tremblay",
        "label": "Maple Street",
        "role": "owner",
        "iat": now,
        "exp": now + 60,
        "jti": "wK0Z2mN6oC3V0d1xX7d2yQ",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


def refusal(token: str, verifier: HandoffVerifier = VERIFIER) -> Refusal:
    with pytest.raises(HandoffRefused) as caught:
        verifier.verify(token)
    assert token == "" or token not in str(caught.value)
    return caught.value.reason


def test_a_good_token_tells_who_comes() -> None:
    found = VERIFIER.verify(signed())
    assert (found.billing_client, found.subject, found.role) == ("1001", "7", Role.OWNER)
    assert (found.name, found.email, found.label) == ("Ana Tremblay", "ana@maple.example", "Maple Street")
    assert 59 + SKEW_SECONDS <= found.expires_at.timestamp() - time.time() <= 60 + SKEW_SECONDS


def test_without_uid_the_user_is_the_address_in_lower_case() -> None:
    assert VERIFIER.verify(signed(uid=None)).subject == "ana@maple.example"


def test_a_label_falls_back_to_the_name_and_then_to_the_address() -> None:
    assert VERIFIER.verify(signed(label=None)).label == "Ana Tremblay"
    assert VERIFIER.verify(signed(label=None, name=None)).label == "ana@maple.example"


def test_of_staff_the_subject_is_the_person() -> None:
    found = VERIFIER.verify(signed(role="staff", sub="staff-3"))
    assert (found.role, found.subject) == (Role.STAFF, "staff-3")


@pytest.mark.parametrize("age_seconds", [-SKEW_SECONDS + 5, SKEW_SECONDS + 55])
def test_clocks_may_differ_by_the_allowed_skew(age_seconds: int) -> None:
    at = int(time.time()) - age_seconds
    assert VERIFIER.verify(signed(iat=at, exp=at + 60)).billing_client == "1001"


@pytest.mark.parametrize(
    ("age_seconds", "reason"),
    [(SKEW_SECONDS + 65, Refusal.EXPIRED), (-SKEW_SECONDS - 5, Refusal.NOT_YET_VALID)],
)
def test_but_not_by_more(age_seconds: int, reason: Refusal) -> None:
    at = int(time.time()) - age_seconds
    assert refusal(signed(iat=at, exp=at + 60)) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "otb-billing"}, Refusal.WRONG_AUDIENCE),
        ({"aud": ["otb-cloud", "other"]}, Refusal.WRONG_AUDIENCE),
        ({"iss": "somebody"}, Refusal.WRONG_ISSUER),
        ({"aud": None}, Refusal.MALFORMED),
        ({"iss": None}, Refusal.MALFORMED),
        ({"sub": None}, Refusal.MALFORMED),
        ({"sub": ""}, Refusal.MALFORMED),
        ({"sub": 1001}, Refusal.MALFORMED),
        ({"sub": "x" * 129}, Refusal.MALFORMED),
        ({"sub": "line\nfeed"}, Refusal.MALFORMED),
        ({"uid": None, "email": None}, Refusal.MALFORMED),
        ({"email": "x" * 255}, Refusal.MALFORMED),
        ({"name": ["Ana"]}, Refusal.MALFORMED),
        ({"name": "n" * 201}, Refusal.MALFORMED),
        ({"label": "l" * 201}, Refusal.MALFORMED),
        ({"role": None}, Refusal.MALFORMED),
        ({"role": "admin"}, Refusal.MALFORMED),
        ({"role": ["owner"]}, Refusal.MALFORMED),
        ({"iat": None}, Refusal.MALFORMED),
        ({"exp": None}, Refusal.MALFORMED),
        ({"jti": None}, Refusal.MALFORMED),
        ({"jti": "short"}, Refusal.MALFORMED),
        ({"jti": "j" * 256}, Refusal.MALFORMED),
        ({"jti": 12345678901234567890}, Refusal.MALFORMED),
    ],
)
def test_each_claim_is_checked(changes: dict[str, Any], reason: Refusal) -> None:
    assert refusal(signed(**changes)) is reason


@pytest.mark.parametrize("seconds", [61, 3600, 0, -5])
def test_a_token_lives_at_most_a_minute(seconds: int) -> None:
    now = int(time.time())
    assert refusal(signed(iat=now, exp=now + seconds)) is Refusal.MALFORMED


def test_fractions_of_a_second_are_refused() -> None:
    now = time.time()
    assert refusal(signed(iat=now, exp=now + 60)) is Refusal.MALFORMED


def test_another_key_is_a_forgery() -> None:
    assert refusal(jwt.encode(claims(), "t" * 32, "HS256")) is Refusal.FORGED


def test_the_algorithm_is_ours_to_choose() -> None:
    none = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none", "typ": "JWT"}, claims())
    )
    assert refusal(none + ".") is Refusal.FORGED
    assert refusal(jwt.encode(claims(), SECRET * 2, "HS512")) is Refusal.FORGED


@pytest.mark.parametrize(
    "change", [lambda t: t[:-2], lambda t: t + "x", lambda t: t.replace(".", "", 1), lambda _: "x"]
)
def test_a_damaged_token_is_refused(change: Callable[[str], str]) -> None:
    assert refusal(change(signed())) in {Refusal.FORGED, Refusal.MALFORMED}


def test_nothing_and_too_much() -> None:
    assert refusal("") is Refusal.MISSING
    assert refusal("x" * 9_000) is Refusal.MALFORMED


@pytest.fixture
def key_pair(tmp_path: Path) -> tuple[bytes, HandoffVerifier]:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, HandoffVerifier("EdDSA", public, SKEW_SECONDS)


def test_eddsa_with_a_public_key(key_pair: tuple[bytes, HandoffVerifier]) -> None:
    private, verifier = key_pair
    assert verifier.verify(jwt.encode(claims(), private, "EdDSA")).billing_client == "1001"
    other = Ed25519PrivateKey.generate()
    assert refusal(jwt.encode(claims(), other, "EdDSA"), verifier) is Refusal.FORGED


def test_a_public_key_is_no_shared_secret(key_pair: tuple[bytes, HandoffVerifier]) -> None:
    """The classic confusion: HS256 under the public key's text."""
    _, verifier = key_pair
    assert isinstance(verifier.key, bytes)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    tag = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(tag.sign(head + b"." + body, verifier.key)).rstrip(b"=")
    assert refusal(b".".join((head, body, signature)).decode(), verifier) is Refusal.FORGED
