"""The stand-in portal signs what OTB Cloud accepts, for the people on its page and nobody else."""

import re
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flask.testing import FlaskClient
from otb_cloud_billing import HandoffSigner
from werkzeug.test import TestResponse

from tools.standin.app import create_app
from tools.standin.people import PEOPLE
from tools.standin.settings import BadStandinSettings, StandinSettings, load_standin_settings
from web.handoff import HandoffVerifier

SECRET = "the stand-in and the app share this secret"
CLOUD = "http://127.0.0.1:5090"


@pytest.fixture
def portal() -> FlaskClient:
    return create_app(StandinSettings(5050, CLOUD, HandoffSigner(SECRET))).test_client()


def choose(portal: FlaskClient, person: str, headers: Mapping[str, str] | None = None) -> TestResponse:
    return portal.post("/services/otb-cloud", data={"person": person}, headers=headers)


def token_of(answer: TestResponse) -> str:
    found = re.search(r'name="token" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def test_the_page_offers_everybody(portal: FlaskClient) -> None:
    page = portal.get("/")
    assert page.status_code == 200
    assert "OutsideTheBox</strong> Client Portal" in page.text
    for key, person in PEOPLE.items():
        assert f'name="person" value="{key}"' in page.text
        assert person.name in page.text


@pytest.mark.parametrize("key", PEOPLE)
def test_each_person_gets_a_handoff_that_the_app_accepts(portal: FlaskClient, key: str) -> None:
    answer = choose(portal, key)
    assert answer.status_code == 200
    assert f'method="post" action="{CLOUD}/auth/handoff"' in answer.text
    claims = HandoffVerifier("HS256", SECRET, 0).verify(token_of(answer))
    person = PEOPLE[key]
    assert (claims.billing_client, claims.subject, claims.role) == (person.client, person.user, person.role)
    assert (claims.email, claims.name) == (person.email, person.name)
    assert claims.label == (person.label or person.name)


def test_every_handoff_is_a_new_one(portal: FlaskClient) -> None:
    verifier = HandoffVerifier("HS256", SECRET, 0)
    assert len({verifier.verify(token_of(choose(portal, "owner"))).jti for _ in range(20)}) == 20


def test_eddsa_handoffs_are_accepted_too() -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = HandoffSigner(private, "EdDSA").sign(PEOPLE["owner"])
    assert HandoffVerifier("EdDSA", public, 0).verify(token).billing_client == PEOPLE["owner"].client


def test_the_token_is_kept_out_of_caches_addresses_and_other_sites(portal: FlaskClient) -> None:
    answer = choose(portal, "owner")
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action {CLOUD};" in policy
    assert "default-src 'none'" in policy
    assert "Location" not in answer.headers


def test_nobody_else_can_be_chosen(portal: FlaskClient) -> None:
    assert choose(portal, "root").status_code == 400
    assert portal.post("/services/otb-cloud").status_code == 400
    assert portal.get("/services/otb-cloud").status_code == 405


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_site_cannot_sign_somebody_in(portal: FlaskClient, site: str) -> None:
    answer = choose(portal, "owner", {"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert "token" not in answer.text


def test_another_name_for_this_machine_gets_nothing(portal: FlaskClient) -> None:
    assert portal.get("/", headers={"Host": "attacker.example:5050"}).status_code == 400
    assert choose(portal, "owner", {"Host": "attacker.example"}).status_code == 400
    assert portal.get("/", headers={"Host": "localhost:6000"}).status_code == 200


def test_the_page_runs_no_script_and_cannot_be_framed(portal: FlaskClient) -> None:
    policy = portal.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PUBLIC_URL": CLOUD}, "OTB_PORTAL_SHARED_SECRET is not set"),
        ({"OTB_PORTAL_SHARED_SECRET": SECRET}, "PUBLIC_URL is not set"),
        ({"OTB_PORTAL_SHARED_SECRET": SECRET, "PUBLIC_URL": CLOUD, "STANDIN_PORT": "0"}, "STANDIN_PORT must be"),
    ],
)
def test_a_missing_setting_is_a_sentence(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadStandinSettings, match=sentence):
        load_standin_settings(environ)
