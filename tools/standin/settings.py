"""The stand-in's settings, from the environment: the same names as OTB Cloud's where they mean the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otb_cloud_billing import HandoffSigner

PORT_DEFAULT: Final = 5050


@dataclass(frozen=True, slots=True)
class StandinSettings:
    """Where to listen (127.0.0.1 alone), where OTB Cloud is, and with what to sign."""

    port: int
    cloud_url: str
    signer: HandoffSigner


class BadStandinSettings(ValueError):
    """A setting is missing or wrong; the text says which, and what to do."""


def load_standin_settings(environ: Mapping[str, str]) -> StandinSettings:
    """Read `STANDIN_PORT`, `PUBLIC_URL` and the key. Raises BadStandinSettings."""
    return StandinSettings(_port(environ), _cloud_url(environ), load_signer(environ))


def load_signer(environ: Mapping[str, str]) -> HandoffSigner:
    """EdDSA where `OTB_PORTAL_PRIVATE_KEY_FILE` names a key, else HS256 with `OTB_PORTAL_SHARED_SECRET`."""
    file = environ.get("OTB_PORTAL_PRIVATE_KEY_FILE", "")
    if file:
        return HandoffSigner(Path(file).read_text(encoding="ascii"), "EdDSA")
    secret = environ.get("OTB_PORTAL_SHARED_SECRET", "")
    if not secret:
        raise BadStandinSettings(
            "OTB_PORTAL_SHARED_SECRET is not set. Give the stand-in the secret that OTB Cloud has."
        )
    return HandoffSigner(secret)


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get("STANDIN_PORT", "") or str(PORT_DEFAULT)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise BadStandinSettings(f"STANDIN_PORT must be a whole number from 1 to 65,535, not {text!r}.")


def _cloud_url(environ: Mapping[str, str]) -> str:
    url = environ.get("PUBLIC_URL", "").rstrip("/")
    if not url:
        raise BadStandinSettings("PUBLIC_URL is not set. Give the stand-in the address of OTB Cloud.")
    return url
