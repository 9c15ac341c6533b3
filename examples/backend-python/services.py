"""The calls that devices make: who asks, whether he may, and then the host's answer in the tenant's name.

Calls that are not written here answer UNIMPLEMENTED. A line of the log has the call, the user's name and the outcome,
never what was sent.
"""

import sys
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from intents import Denied, own_act, own_wallet
from receipts import Receipts
from settings import Refused, Settings, User, load_statement, require
from strongroom.v1 import (
    backup_service_pb2,
    backup_service_pb2_grpc,
    intent_pb2,
    passkey_service_pb2,
    passkey_service_pb2_grpc,
    recovery_service_pb2,
    recovery_service_pb2_grpc,
    tenant_service_pb2,
    tenant_service_pb2_grpc,
)

# A sealed message of every pair's share, and what stands around it.
REQUEST_BYTES_MAX = 2 * 1024 * 1024
ANSWER_SECONDS_MAX = 60
DETAILS = "grpc-status-details-bin"


class Backend:
    """What every service needs."""

    def __init__(self, told: Settings) -> None:
        self.told = told
        self.statement = told.statement
        self.receipts = Receipts(told.receipts, told.statement)
        self.channel = connect(told.host)

    def reload_statement(self) -> None:
        """Reads the statement again, and says in the log which one is in force. One that is no good changes nothing."""
        before = self.statement.content.serial
        try:
            new = load_statement(self.told.statement_path, self.statement.tenant)
            serial = new.content.serial
            require(
                serial > before or new.signed == self.statement.signed,
                "statement",
                f"serial {serial} is not above {before}",
            )
        except Refused as error:
            print(f"statement serial={before} kept: {error}", file=sys.stderr, flush=True)
            return
        # Each is one assignment, so that a call sees the one or the other whole.
        self.receipts.statement = new
        self.statement = new
        print(f"statement serial={serial}", file=sys.stderr, flush=True)

    def call(
        self, name: str, request: Message, context: grpc.ServicerContext, work: Callable[[User, Any], Message]
    ) -> Message:
        """Carries out a call of the user whose session token came with it."""
        user = self.told.users.by_token(token(context))
        try:
            if user is None:
                raise Denied(grpc.StatusCode.UNAUTHENTICATED, "no valid session")
            answer = work(user, request)
        except Denied as denied:
            log(name, user, denied.code)
            if denied.details is not None:
                context.set_trailing_metadata(((DETAILS, denied.details),))
            context.abort(denied.code, denied.text)
        except OSError:
            log(name, user, grpc.StatusCode.UNAVAILABLE)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the receipt cannot be kept; try again")
        log(name, user, grpc.StatusCode.OK)
        return answer

    def ask(self, method: grpc.UnaryUnaryMultiCallable, request: Message) -> Any:
        """The host's answer, in the tenant's name, or its refusal with all details."""
        try:
            return method(request, metadata=self.told.api_key.metadata, timeout=ANSWER_SECONDS_MAX)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata() or ()).get(DETAILS)
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise Denied(grpc.StatusCode.INTERNAL, "the host refuses this backend") from error
            if details is None:
                # What went wrong between this backend and the host is none of the device's business.
                raise Denied(grpc.StatusCode.UNAVAILABLE, "the host cannot be reached") from error
            raise Denied(error.code(), error.details(), details) from error

    def own_act(self, user: User, request: Message, action: str) -> intent_pb2.Intent:
        """The intent of a request's act, on a record that did not fork."""
        intent = own_act(self.statement.tenant, user.wallet, request, action)
        self.receipts.refuse_forked(intent)
        return intent

    def act(self, user: User, request: Message, action: str, method: grpc.UnaryUnaryMultiCallable) -> Any:
        """An act. Its receipts are kept before the answer leaves, so that the tenant knows the newest head."""
        intent = self.own_act(user, request, action)
        answer = self.ask(method, request)
        self.receipts.keep_act(request.act.intent, intent, answer.receipts)
        return answer


class Passkeys(passkey_service_pb2_grpc.PasskeyServiceServicer):
    """What a device asks for before it prompts its user."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.host = passkey_service_pb2_grpc.PasskeyServiceStub(backend.channel)

    def Prepare(
        self, request: passkey_service_pb2.PrepareRequest, context: grpc.ServicerContext
    ) -> passkey_service_pb2.PrepareResponse:
        def work(user: User, request: passkey_service_pb2.PrepareRequest) -> Message:
            own_wallet(user.wallet, request.wallet)
            answer = self.backend.ask(self.host.Prepare, request)
            # Never the host's: it might show an older one.
            answer.statement.CopyFrom(self.backend.statement.signed)
            return answer

        return self.backend.call("Prepare", request, context, work)


class Tenants(tenant_service_pb2_grpc.TenantServiceServicer):
    """The statement, from the backend's own store."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def GetStatement(
        self, request: tenant_service_pb2.GetStatementRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.GetStatementResponse:
        def work(_user: User, _request: tenant_service_pb2.GetStatementRequest) -> Message:
            return tenant_service_pb2.GetStatementResponse(statement=self.backend.statement.signed)

        return self.backend.call("GetStatement", request, context, work)


class Backups(backup_service_pb2_grpc.BackupServiceServicer):
    """Backups of the user's own wallet."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.host = backup_service_pb2_grpc.BackupServiceStub(backend.channel)

    def CreateBackup(
        self, request: backup_service_pb2.CreateBackupRequest, context: grpc.ServicerContext
    ) -> backup_service_pb2.CreateBackupResponse:
        def work(user: User, request: Message) -> Message:
            return self.backend.act(user, request, "create_backup", self.host.CreateBackup)

        return self.backend.call("CreateBackup", request, context, work)

    def GetBackup(
        self, request: backup_service_pb2.GetBackupRequest, context: grpc.ServicerContext
    ) -> backup_service_pb2.GetBackupResponse:
        def work(user: User, request: Message) -> Message:
            own_wallet(user.wallet, request.wallet)
            answer = self.backend.ask(self.host.GetBackup, request)
            # An act whose answer was lost on its way is caught up with here.
            for receipt in answer.backup.receipts:
                self.backend.receipts.keep(receipt, user.wallet)
            return answer

        return self.backend.call("GetBackup", request, context, work)

    def RehearseBackup(
        self, request: backup_service_pb2.RehearseBackupRequest, context: grpc.ServicerContext
    ) -> backup_service_pb2.RehearseBackupResponse:
        def work(user: User, request: Message) -> Message:
            self.backend.own_act(user, request, "rehearse")
            return self.backend.ask(self.host.RehearseBackup, request)

        return self.backend.call("RehearseBackup", request, context, work)


class Recoveries(recovery_service_pb2_grpc.RecoveryServiceServicer):
    """Releases of the user's own shares."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.host = recovery_service_pb2_grpc.RecoveryServiceStub(backend.channel)

    def Recover(
        self, request: recovery_service_pb2.RecoverRequest, context: grpc.ServicerContext
    ) -> recovery_service_pb2.RecoverResponse:
        def work(user: User, request: Message) -> Message:
            return self.backend.act(user, request, "recover", self.host.Recover)

        return self.backend.call("Recover", request, context, work)


def token(context: grpc.ServicerContext) -> bytes:
    """The one bearer token of a call; empty, and so nobody's, without one."""
    values = [value for name, value in context.invocation_metadata() if name == "authorization"]
    scheme, _, text = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return text.encode() if scheme.lower() == "bearer" else b""


def log(name: str, user: User | None, code: grpc.StatusCode) -> None:
    """One line of the log: ids only."""
    print(f"call={name} user={user.name if user else '-'} code={code.name}", file=sys.stderr, flush=True)


def connect(host: str) -> grpc.Channel:
    """A channel to the host itself: a proxy of the environment has no business with the API key."""
    options = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", REQUEST_BYTES_MAX))
    scheme, _, address = host.partition("://")
    if scheme == "https":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(address, options)
