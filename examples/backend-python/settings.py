"""The configuration and the files that it names: read and checked before a port is bound.

Of a session token it holds the SHA-256 alone.
"""

import hashlib
import hmac
import ipaddress
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from statement import Statement, Unsigned

FILE_BYTES_MAX = 64 * 1024
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
API_KEY = re.compile(r"sr_[0-9a-f]{64}")
HEX_32 = re.compile(r"[0-9a-f]{64}")


class Refused(Exception):
    """A setting is not as it must be; names the field, never a secret."""


@dataclass(frozen=True)
class User:
    """A user as the company knows it, with one session."""

    name: str
    wallet: str
    # Tokens are random, so they need no slow hash.
    token_sha256: bytes


@dataclass(frozen=True)
class Users:
    """Who may call."""

    users: tuple[User, ...]

    def by_token(self, token: bytes) -> User | None:
        """Whose session a token is. Each entry is compared, and in constant time."""
        digest = hashlib.sha256(token).digest()
        found = [user for user in self.users if hmac.compare_digest(user.token_sha256, digest)]
        return found[0] if found else None


@dataclass(frozen=True)
class Settings:
    """Everything that the backend is told at its start."""

    listen: str
    host: str
    statement: Statement
    # The file of the statement, which alone is read again later.
    statement_path: Path
    users: Users
    receipts: Path
    # The tenant's key at the host: shown by no `repr`.
    api_key: "ApiKey"


class ApiKey:
    """The tenant's key at the host."""

    def __init__(self, text: str) -> None:
        self.metadata = (("authorization", f"Bearer {text}"),)

    def __repr__(self) -> str:
        return "[redacted]"


def load(path: Path) -> Settings:
    """Reads the configuration and every file that it names."""
    raw = fields(
        str(path),
        read_toml(path),
        {"listen", "host", "api_key", "tenant", "statement", "users", "receipts"},
    )
    key = read(Path(raw["api_key"])).decode("ascii", "replace").strip()
    require(API_KEY.fullmatch(key), "api_key", "the file must hold `sr_` and 64 hex digits")
    require(HEX_32.fullmatch(raw["tenant"]), "tenant", "must be 64 hex digits")
    require(Path(raw["receipts"]).is_dir(), "receipts", "must be a folder")
    users = load_users(Path(raw["users"]))
    require(users.by_token(key.encode()) is None, "users", "one of the tokens is the host's API key")
    return Settings(
        listen=loopback("listen", raw["listen"]),
        host=host_address(raw["host"]),
        statement=load_statement(Path(raw["statement"]), bytes.fromhex(raw["tenant"])),
        statement_path=Path(raw["statement"]),
        users=users,
        receipts=Path(raw["receipts"]),
        api_key=ApiKey(key),
    )


def load_statement(path: Path, tenant: bytes) -> Statement:
    """Reads the statement, which must be this tenant's."""
    try:
        return Statement(read(path), tenant)
    except Unsigned as error:
        raise Refused(f"statement: {error}") from error


def load_users(path: Path) -> Users:
    """Reads the file with the users."""
    raw = read_toml(path)
    sound = raw.keys() == {"user"} and isinstance(raw["user"], list)
    require(sound, str(path), "must be a list of [[user]] and nothing else")
    users = []
    for entry in raw["user"]:
        entry = fields(f"{path}: user", entry, {"name", "wallet", "token_sha256"})
        for name in ("name", "wallet"):
            require(ID.fullmatch(entry[name]), f"user.{name}", "must be 1 to 64 of [A-Za-z0-9._-]")
        require(HEX_32.fullmatch(entry["token_sha256"]), "user.token_sha256", "must be 64 hex digits")
        users.append(User(entry["name"], entry["wallet"], bytes.fromhex(entry["token_sha256"])))
    hashes = {user.token_sha256 for user in users}
    require(len(hashes) == len(users), "user.token_sha256", "is there twice")
    return Users(tuple(users))


def loopback(field: str, address: str) -> str:
    """A loopback address with a port. A real backend stands behind its company's TLS."""
    ip, _, port = address.rpartition(":")
    try:
        good = ipaddress.ip_address(ip.strip("[]")).is_loopback and 0 <= int(port) <= 65535
    except ValueError:
        good = False
    require(good, field, "must be a loopback address with a port, such as 127.0.0.1:7444")
    return address


def host_address(address: str) -> str:
    """`https://HOST[:PORT]` anywhere, `http://` on this machine only: the API key is no text for others."""
    scheme, _, rest = address.partition("://")
    require(scheme in ("http", "https") and rest, "host", "must be https://HOST[:PORT] or http://127.0.0.1:PORT")
    if scheme == "http":
        loopback("host", rest)
    return address


def fields(what: str, raw: Any, names: set[str]) -> dict[str, str]:
    """A table with exactly these texts."""
    require(isinstance(raw, dict) and raw.keys() == names, what, f"must have exactly {sorted(names)}")
    require(all(isinstance(value, str) for value in raw.values()), what, "must have texts only")
    return raw


def read_toml(path: Path) -> dict[str, Any]:
    """A file's tables."""
    try:
        return tomllib.loads(read(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: {error}") from error


def read(path: Path) -> bytes:
    """A file of at most FILE_BYTES_MAX bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    require(len(content) <= FILE_BYTES_MAX, str(path), f"must have at most {FILE_BYTES_MAX} bytes")
    return content


def require(holds: object, field: str, rule: str) -> None:
    """Refuses a field that breaks its rule."""
    if not holds:
        raise Refused(f"{field}: {rule}")
