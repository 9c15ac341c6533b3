"""What a user may ask: its own wallet, in the request and in what its passkey signed, by the call for that act.

The enclave checks the passkey and every other part of an intent. The refusals here say nothing of what the host has.
"""

import grpc
from google.protobuf.message import Message

from statement import INTENT, RECORD, Unsigned, decode, sha256
from strongroom.v1 import intent_pb2

INTENT_BYTES_MAX = 4 * 1024
ROLES = ("client", "custodian")


class Denied(Exception):
    """A call is refused with this status."""

    def __init__(self, code: grpc.StatusCode, text: str, details: bytes | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        # An encoded google.rpc.Status of the host.
        self.details = details


def own_wallet(own: str, asked: str) -> None:
    """Refuses every wallet but the user's own, as the host refuses one that is not there."""
    if own != asked:
        raise Denied(grpc.StatusCode.NOT_FOUND, "no such wallet")


def own_act(tenant: bytes, own: str, request: Message, action: str) -> intent_pb2.Intent:
    """The intent of a request's act on the user's own wallet."""
    if not request.HasField("act"):
        raise Denied(grpc.StatusCode.INVALID_ARGUMENT, "act: required")
    try:
        intent = decode(intent_pb2.Intent, request.act.intent, INTENT_BYTES_MAX)
    except Unsigned as error:
        raise Denied(grpc.StatusCode.INVALID_ARGUMENT, f"act.intent: {error}") from error
    if intent.tenant != tenant:
        raise Denied(grpc.StatusCode.INVALID_ARGUMENT, "act.intent.tenant: not this wallet company")
    own_wallet(own, intent.wallet)
    if intent.WhichOneof("action") != action:
        raise Denied(grpc.StatusCode.INVALID_ARGUMENT, "act.intent.action: not what this call is for")
    return intent


def intent_hash(encoded: bytes) -> bytes:
    """The WebAuthn challenge for an encoded intent."""
    return sha256(INTENT, encoded)


def start(intent: intent_pb2.Intent, role: str) -> tuple[bytes, bytes]:
    """Record id, and the head that the act starts from."""
    if intent.WhichOneof("action") != "create_backup":
        part = getattr(intent, role)
        return part.record_id, part.head
    # A creation's record is made of the intent without message hashes.
    bare = intent_pb2.Intent()
    bare.CopyFrom(intent)
    for name in ROLES:
        if bare.HasField(name):
            getattr(bare, name).ClearField("message_hash")
    record_id = sha256(RECORD, bare.SerializeToString(deterministic=True))
    return record_id, record_id
