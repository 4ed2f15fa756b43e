"""Signatures of audit checkpoints: Ed25519, with a key whose public half can be kept anywhere else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from cas.digest import Digest
from catalog.records import AuditHeadsLine
from catalog.settings import BadSettings

_PURPOSE: Final = b"otb-cloud audit checkpoint 1\n"


@dataclass(frozen=True, slots=True)
class AuditKey:
    """A key pair, or its public half alone, which can check and not sign."""

    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None = None

    @classmethod
    def load(cls, file: Path | None) -> "AuditKey | None":
        """The key of `AUDIT_KEY_FILE`, a PEM file with either half. Raises `BadSettings`."""
        if file is None:
            return None
        try:
            pem = file.read_bytes()
            key = load_pem_public_key(pem) if b"PUBLIC KEY" in pem else load_pem_private_key(pem, None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadSettings([f"AUDIT_KEY_FILE: {file} cannot be read as a PEM key: {error}"]) from error
        if isinstance(key, Ed25519PrivateKey):
            return cls(key.public_key(), key)
        if isinstance(key, Ed25519PublicKey):
            return cls(key)
        raise BadSettings([f"AUDIT_KEY_FILE: {file} holds no Ed25519 key."])

    def signed(self, chain: str, sequence: int, previous: Digest | None, line: AuditHeadsLine) -> AuditHeadsLine:
        """The line with its signature; as it is where there is only the public half."""
        if self.private is None:
            return line
        signature = self.private.sign(message(chain, sequence, previous, line))
        return msgspec.structs.replace(line, signature=signature.hex())

    def is_signed(self, chain: str, sequence: int, previous: Digest | None, line: AuditHeadsLine) -> bool:
        """Whether the line carries this key's signature of it, at this place."""
        try:
            signature = bytes.fromhex(line.signature or "")
            self.public.verify(signature, message(chain, sequence, previous, line))
        except (InvalidSignature, ValueError):
            return False
        return True


def message(chain: str, sequence: int, previous: Digest | None, line: AuditHeadsLine) -> bytes:
    """What is signed: the place in the journal, and the line without its signature."""
    place = f"{chain}\n{sequence}\n{previous.hex if previous else '-'}\n".encode()
    return _PURPOSE + place + msgspec.json.encode(msgspec.structs.replace(line, signature=None))
