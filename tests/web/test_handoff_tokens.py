"""The verifier of the portal's tokens: what it takes, and each thing that it refuses."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from catalog.settings import BadSettings, Settings, load_settings
from catalog.values import Role
from tests.shared.settings import values_for
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


def test_while_keys_are_exchanged_both_are_good_and_no_third() -> None:
    both = HandoffVerifier("HS256", "n" * 32, SKEW_SECONDS, SECRET)
    assert both.verify(signed()).billing_client == "1001"
    assert both.verify(jwt.encode(claims(), "n" * 32, "HS256")).billing_client == "1001"
    assert refusal(jwt.encode(claims(), "t" * 32, "HS256"), both) is Refusal.FORGED
    assert refusal(signed(exp=int(time.time()) - SKEW_SECONDS - 1, iat=int(time.time()) - SKEW_SECONDS - 60), both) is (
        Refusal.EXPIRED
    )


def test_the_key_before_comes_from_the_settings(tmp_path: Path) -> None:
    values = values_for(tmp_path, tmp_path, "x") | {"OTB_PORTAL_SHARED_SECRET_BEFORE": SECRET}
    verifier = HandoffVerifier.from_settings(load_settings(values, tmp_path / "none"))
    assert verifier.verify(signed()).subject == "7"
    with pytest.raises(BadSettings, match="OTB_PORTAL_SHARED_SECRET_BEFORE must be"):
        load_settings(values | {"OTB_PORTAL_SHARED_SECRET_BEFORE": "short"}, tmp_path / "none")


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
    public = tmp_path / "portal.pem"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, HandoffVerifier.from_settings(settings_with(public))


def settings_with(public_key_file: Path | None) -> Settings:
    values = values_for(Path("/tmp"), Path("/tmp/none"), "x") | {"OTB_PORTAL_SHARED_SECRET": SECRET}
    if public_key_file is not None:
        values["OTB_PORTAL_PUBLIC_KEY_FILE"] = str(public_key_file)
    return load_settings(values, Path("/nonexistent"))


def test_the_settings_choose_the_algorithm() -> None:
    verifier = HandoffVerifier.from_settings(settings_with(None))
    assert (verifier.algorithm, verifier.key, verifier.skew_seconds) == ("HS256", SECRET, 300)


def test_a_wrong_key_file_is_told_at_the_start(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for content in (None, b"no key", other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        file = tmp_path / "key.pem"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(BadSettings, match="OTB_PORTAL_PUBLIC_KEY_FILE names"):
            HandoffVerifier.from_settings(settings_with(file))


def test_eddsa_with_a_public_key(key_pair: tuple[bytes, HandoffVerifier]) -> None:
    private, verifier = key_pair
    assert verifier.verify(jwt.encode(claims(), private, "EdDSA")).billing_client == "1001"
    other = Ed25519PrivateKey.generate()
    assert refusal(jwt.encode(claims(), other, "EdDSA"), verifier) is Refusal.FORGED


def test_a_public_key_is_no_shared_secret(key_pair: tuple[bytes, HandoffVerifier]) -> None:
    """The classic confusion: HS256 under the public key's text."""
    _, verifier = key_pair
    assert isinstance(verifier.key, Ed25519PublicKey)
    public = verifier.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    tag = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(tag.sign(head + b"." + body, public)).rstrip(b"=")
    assert refusal(b".".join((head, body, signature)).decode(), verifier) is Refusal.FORGED
