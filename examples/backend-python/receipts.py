"""The backend's own store: the newest receipt of each record, a file each.

A receipt is kept only if an epoch of the tenant's own statement signed it for this wallet. The newest head that the
tenant knows is what its signature would vouch for in a policy with `newest_head`. Keeps no share, sealed or not.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError

from intents import ROLES, Denied, intent_hash, start
from statement import HEAD, RECEIPT, Statement, Unsigned, decode, sha256, verify
from strongroom.v1 import intent_pb2, receipt_pb2

RECEIPT_BYTES_MAX = 64 * 1024


class Receipts:
    """The receipts, and the statement that says who may sign them."""

    def __init__(self, folder: Path, statement: Statement) -> None:
        self.folder = folder
        self.statement = statement
        # Reading the one kept and writing a newer one is one step.
        self.writing = threading.Lock()

    def keep_act(
        self, encoded: bytes, intent: intent_pb2.Intent, receipts: Sequence[receipt_pb2.SignedReceipt]
    ) -> None:
        """Takes the receipts of an act: one of each role that its intent names, for these very bytes."""
        roles = [role for role in ROLES if intent.HasField(role)]
        if len(receipts) != len(roles):
            raise invalid()
        for role, signed in zip(roles, receipts, strict=True):
            receipt = self.check(signed, intent.wallet)
            record_id, before = start(intent, role)
            if (
                role_name(receipt) != role
                or receipt.record_id != record_id
                or receipt.intent_hash != intent_hash(encoded)
                or receipt.head != sha256(HEAD, before, receipt.event)
            ):
                raise invalid()
        for signed in receipts:
            self.keep(signed, intent.wallet)

    def keep(self, signed: receipt_pb2.SignedReceipt, wallet: str) -> None:
        """Takes a receipt of a user's wallet if it is newer than the one kept."""
        receipt = self.check(signed, wallet)
        path = self.folder / f"{receipt.record_id.hex()}.{role_name(receipt)}.receipt"
        with self.writing:
            if path.exists():
                kept = read(path)
                if kept.version == receipt.version and kept.head != receipt.head:
                    # Both together prove the fork to anybody who has the statement.
                    replace(path.with_suffix(".fork"), signed.SerializeToString())
                    raise Denied(grpc.StatusCode.DATA_LOSS, "the host shows two histories of this backup")
                if kept.version >= receipt.version:
                    return
            replace(path, signed.SerializeToString())

    def check(self, signed: receipt_pb2.SignedReceipt, wallet: str) -> receipt_pb2.Receipt:
        """What an enclave of this tenant signed about this wallet."""
        try:
            receipt = decode(receipt_pb2.Receipt, signed.receipt, RECEIPT_BYTES_MAX)
            key = self.statement.receipt_key(receipt.role, receipt.epoch)
            verify(RECEIPT, signed.receipt, key, signed.signature)
        except Unsigned as error:
            raise invalid() from error
        if receipt.tenant != self.statement.tenant or receipt.wallet != wallet or len(receipt.record_id) != 32:
            raise invalid()
        return receipt


def role_name(receipt: receipt_pb2.Receipt) -> str:
    """Of a receipt that was checked: the statement names its role."""
    return ROLES[receipt.role - 1]


def read(path: Path) -> receipt_pb2.Receipt:
    """The receipt kept in a file."""
    try:
        kept = receipt_pb2.SignedReceipt.FromString(path.read_bytes())
        return receipt_pb2.Receipt.FromString(kept.receipt)
    except DecodeError as error:
        raise OSError(f"{path} holds no receipt") from error


def invalid() -> Denied:
    """One refusal for all: which rule the host broke is none of the device's business."""
    return Denied(grpc.StatusCode.DATA_LOSS, "the host's answer has no valid receipt")


def replace(path: Path, content: bytes) -> None:
    """Puts a file in place in one step: whoever reads sees the old one or the new one."""
    following = path.with_suffix(path.suffix + ".next")
    with os.fdopen(os.open(following, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(following, path)
