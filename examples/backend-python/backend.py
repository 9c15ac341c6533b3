"""An example of a tenant's backend: devices talk to it, and it alone talks to `strongroom-host`.

It knows its users and lets each reach its own wallet only, serves the statement from its own store, and keeps
every receipt of each backup. The host's API key never leaves it; what passes through is sealed or signed by others.
"""

import argparse
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

import settings
from services import REQUEST_BYTES_MAX, Backend, Backups, Passkeys, Recoveries, Tenants
from strongroom.v1 import (
    backup_service_pb2_grpc,
    passkey_service_pb2_grpc,
    recovery_service_pb2_grpc,
    tenant_service_pb2_grpc,
)

CALLS_MAX = 64
THREADS = 8
DRAIN_SECONDS_MAX = 10


def main() -> None:
    """Serves until SIGTERM or SIGINT; reads the statement again on SIGHUP."""
    parser = argparse.ArgumentParser(description="Stands between a wallet company's devices and strongroom-host.")
    parser.add_argument("--config", type=Path, required=True, help="TOML; README.md shows every field")
    try:
        told = settings.load(parser.parse_args().config)
    except settings.Refused as error:
        sys.exit(f"backend: {error}")
    backend = Backend(told)
    options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", REQUEST_BYTES_MAX))
    server = grpc.server(ThreadPoolExecutor(THREADS), options=options, maximum_concurrent_rpcs=CALLS_MAX)
    passkey_service_pb2_grpc.add_PasskeyServiceServicer_to_server(Passkeys(backend), server)
    tenant_service_pb2_grpc.add_TenantServiceServicer_to_server(Tenants(backend), server)
    backup_service_pb2_grpc.add_BackupServiceServicer_to_server(Backups(backend), server)
    recovery_service_pb2_grpc.add_RecoveryServiceServicer_to_server(Recoveries(backend), server)
    port = server.add_insecure_port(told.listen)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: backend.reload_statement())
    server.start()
    print(f"backend ready address={told.listen.rpartition(':')[0]}:{port}", flush=True)
    stop.wait()
    server.stop(DRAIN_SECONDS_MAX).wait()


if __name__ == "__main__":
    main()
