"""The tenant's statement, and what its keys vouch for: Ed25519 (RFC 8032) over a prefix and the bytes."""

import hashlib
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import DecodeError, Message

from strongroom.v1 import common_pb2, statement_pb2

# Each use has its own prefix, which ends with a 0x00; `proto/tests/golden/prefixes.txt` lists them all.
HEAD = b"strongroom/v1/head\0"
INTENT = b"strongroom/v1/intent\0"
RECEIPT = b"strongroom/v1/receipt\0"
RECORD = b"strongroom/v1/record\0"
STATEMENT = b"strongroom/v1/statement\0"

STATEMENT_BYTES_MAX = 32 * 1024

M = TypeVar("M", bound=Message)


class Unsigned(Exception):
    """Bytes are malformed, or nobody who counts has signed them."""


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over the concatenation of the parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def verify(prefix: bytes, content: bytes, key: bytes, signature: bytes) -> None:
    """Checks a signature over prefix and content."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, prefix + content)
    except (InvalidSignature, ValueError) as error:
        raise Unsigned("the signature does not hold") from error


def decode(kind: type[M], content: bytes, bytes_max: int) -> M:
    """The message that `content` is the one canonical encoding of."""
    if len(content) > bytes_max:
        raise Unsigned(f"longer than {bytes_max} bytes")
    try:
        message = kind.FromString(content)
    except DecodeError as error:
        raise Unsigned("malformed protobuf") from error
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != content:
        raise Unsigned("not in canonical encoding, or with an unknown field")
    return message


class Statement:
    """A statement that the pinned tenant signed. Its further rules are for devices and enclaves to check."""

    def __init__(self, encoded: bytes, tenant: bytes) -> None:
        try:
            self.signed = statement_pb2.SignedStatement.FromString(encoded)
        except DecodeError as error:
            raise Unsigned("the statement is malformed") from error
        self.tenant = tenant
        self.content = decode(statement_pb2.Statement, self.signed.statement, STATEMENT_BYTES_MAX)
        keys = (self.content.root_key, self.content.standby_key)
        if sha256(*keys) != tenant:
            raise Unsigned("the statement is another tenant's")
        try:
            verify(STATEMENT, self.signed.statement, keys[0], self.signed.signature)
        except Unsigned:
            verify(STATEMENT, self.signed.statement, keys[1], self.signed.signature)

    def receipt_key(self, role: int, number: int) -> bytes:
        """The key that signs an epoch's receipts."""
        names = {common_pb2.ROLE_CLIENT: "client", common_pb2.ROLE_CUSTODIAN: "custodian"}
        name = names.get(role)
        if name is not None and self.content.HasField(name):
            for epoch in getattr(self.content, name).epochs:
                if epoch.epoch == number:
                    return epoch.receipt_key
        raise Unsigned("the statement does not name this epoch")
