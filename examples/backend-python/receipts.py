"""The backend's own store: every receipt of each record, a file each, named by record, role and version.

A receipt is kept only if an epoch of the tenant's own statement signed it for this wallet, and if it continues the
history that is kept: a host that restores an older record and goes on from there is seen. The newest head that the
tenant knows is what its signature would vouch for in a policy with `newest_head`. Keeps no share, sealed or not, and
overwrites no receipt.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import grpc
from google.protobuf.message import DecodeError

from intents import ROLES, Denied, intent_hash, start
from statement import HEAD, RECEIPT, Statement, Unsigned, decode, sha256, verify
from strongroom.v1 import intent_pb2, receipt_pb2

# As in enclaves and devices.
RECEIPT_BYTES_MAX = 8 * 1024


class Receipts:
    """The receipts, and the statement that says who may sign them."""

    def __init__(self, folder: Path, statement: Statement) -> None:
        self.folder = folder
        self.statement = statement
        # Reading what is kept and writing the next one is one step.
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
        """Takes a receipt of a user's wallet. It is new, or kept already; any other is a fork."""
        receipt = self.check(signed, wallet)
        with self.writing:
            if self.is_forked(receipt.record_id):
                raise forked()
            kept = self.read(receipt, receipt.version)
            if kept is not None:
                moved_nothing = not receipt.event and content(kept).head == receipt.head
                if kept.receipt != signed.receipt and not moved_nothing:
                    self.fork(kept, signed)
                return
            if not receipt.event:
                # It says nothing of how the record came to this version.
                raise invalid()
            contradicted = self.contradicted(receipt)
            if contradicted is not None:
                self.fork(contradicted, signed)
            replace(self.path(receipt, receipt.version), signed.SerializeToString())

    def refuse_forked(self, intent: intent_pb2.Intent) -> None:
        """Refuses an act on a record that was seen to fork: which of its histories would the act continue?"""
        for role in ROLES:
            if intent.HasField(role) and self.is_forked(start(intent, role)[0]):
                raise forked()

    def contradicted(self, receipt: receipt_pb2.Receipt) -> receipt_pb2.SignedReceipt | None:
        """The kept receipt that cannot belong to one history with this one, of a version that none is kept of."""
        before = self.read(receipt, receipt.version - 1)
        if before is not None and not follows(content(before), receipt):
            return before
        newest = self.newest(receipt)
        if newest < receipt.version:
            return None
        # Below the newest one, only the receipt that the next one kept follows from was there before it.
        after = self.read(receipt, receipt.version + 1)
        if after is not None:
            return None if follows(receipt, content(after)) else after
        return self.read(receipt, newest)

    def fork(self, kept: receipt_pb2.SignedReceipt, signed: receipt_pb2.SignedReceipt) -> NoReturn:
        """Both together prove the fork to anybody who has the statement."""
        for proof in (kept, signed):
            told = content(proof)
            name = f"{told.record_id.hex()}.{role_name(told)}.{told.version:020}.{told.head.hex()}.fork"
            replace(self.folder / name, proof.SerializeToString())
        raise forked()

    def is_forked(self, record_id: bytes) -> bool:
        """Whether two histories of the record were shown."""
        return any(self.folder.glob(f"{record_id.hex()}.*.fork"))

    def newest(self, receipt: receipt_pb2.Receipt) -> int:
        """Highest version that a receipt of the same record is kept of; 0 without one."""
        names = self.folder.glob(f"{receipt.record_id.hex()}.{role_name(receipt)}.*.receipt")
        return max((int(path.name.split(".")[2]) for path in names), default=0)

    def read(self, receipt: receipt_pb2.Receipt, version: int) -> receipt_pb2.SignedReceipt | None:
        """The receipt kept of this version of the same record."""
        path = self.path(receipt, version)
        if not path.exists():
            return None
        try:
            return receipt_pb2.SignedReceipt.FromString(path.read_bytes())
        except DecodeError as error:
            raise OSError(f"{path} holds no receipt") from error

    def path(self, receipt: receipt_pb2.Receipt, version: int) -> Path:
        """With leading zeros, so that names stand in the order of the versions."""
        return self.folder / f"{receipt.record_id.hex()}.{role_name(receipt)}.{version:020}.receipt"

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


def content(signed: receipt_pb2.SignedReceipt) -> receipt_pb2.Receipt:
    """What a receipt says that was checked when it came."""
    try:
        return receipt_pb2.Receipt.FromString(signed.receipt)
    except DecodeError as error:
        raise OSError("a kept file holds no receipt") from error


def follows(earlier: receipt_pb2.Receipt, later: receipt_pb2.Receipt) -> bool:
    """Whether the act of the later receipt started where that of the earlier one ended."""
    return later.head == sha256(HEAD, earlier.head, later.event)


def forked() -> Denied:
    """The host restored an older record, or serves two."""
    return Denied(grpc.StatusCode.DATA_LOSS, "the host shows two histories of this backup")


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
