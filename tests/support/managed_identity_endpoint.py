"""Endpoints of managed identities: real HTTP servers that answer as each platform's does, and refuse what it does."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.fault_server import make_certificate, server_context

from warmtoken.testing import Clock

SOURCES = ("imds", "app_service", "azure_arc", "service_fabric", "cloud_shell", "machine_learning")
SECRET = "canary-5ecret-of-the-host"
DEFAULT_CLIENT_ID = "11111111-2222-3333-4444-555555555555"
VARIABLES = (
    "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT",
    "MSI_SECRET", "AZURE_POD_IDENTITY_AUTHORITY_HOST", "DEFAULT_IDENTITY_CLIENT_ID",
)  # fmt: skip
API_VERSIONS = {
    "imds": "2018-02-01", "app_service": "2019-08-01", "azure_arc": "2020-06-01", "service_fabric": "2020-05-01",
    "machine_learning": "2017-09-01",
}  # fmt: skip
SECRET_HEADERS = {"app_service": "x-identity-header", "service_fabric": "secret", "machine_learning": "secret"}
PARAMETERS = {
    "imds": {"client_id", "msi_res_id", "object_id"},
    "app_service": {"client_id", "mi_res_id", "object_id"},
    "service_fabric": {"token_sha256_to_refresh", "xms_cc"},
    "machine_learning": {"clientid"},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came: `asked` are the parameters of the query, or of the form."""

    method: str
    asked: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(slots=True)
class Answer:
    """What to answer in place of what the platform would; a body that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the other side may break a handshake off


class Refused(Exception):
    """What the platform says to a request that it does not take."""


class ManagedIdentityEndpoint:
    """One platform's endpoint on loopback; `environ` are the variables that the platform sets.

    `next_answers` are given before it grants again; `fields` change what it grants, `...` takes a field out.
    """

    def __init__(self, source: str, clock: Clock, directory: Path) -> None:
        self.source = source
        self.keys = directory / "keys"
        self.seen: list[Seen] = []
        self.granted: list[str] = []
        self.next_answers: list[Answer] = []
        self.fields: dict[str, Any] = {}
        self.lifetime = 3600
        self.delay = 0.0
        self.hold: Callable[[], object] = lambda: None  # what to wait for before each answer
        self._clock = clock
        self._directory = directory
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open_keys: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._certificate = self._encrypt() if source == "service_fabric" else b""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def origin(self) -> str:
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environ(self) -> dict[str, str]:
        url = f"{self.origin}/metadata/identity/oauth2/token"
        return {
            "imds": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.origin + "/"},
            "app_service": {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": SECRET},
            "azure_arc": {"IDENTITY_ENDPOINT": url, "IMDS_ENDPOINT": self.origin},
            "service_fabric": {
                "IDENTITY_ENDPOINT": url,
                "IDENTITY_HEADER": SECRET,
                "IDENTITY_SERVER_THUMBPRINT": hashlib.sha1(self._certificate).hexdigest().upper(),
            },
            "cloud_shell": {"MSI_ENDPOINT": url},
            "machine_learning": {
                "MSI_ENDPOINT": url,
                "MSI_SECRET": SECRET,
                "DEFAULT_IDENTITY_CLIENT_ID": DEFAULT_CLIENT_ID,
            },
        }[self.source]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, seen: Seen) -> Answer:
        """Return what the platform answers, and note the request."""
        time.sleep(self.delay)
        self.hold()
        with self._lock:
            self.seen.append(seen)
            if self.next_answers:
                return self.next_answers.pop(0)
            try:
                self._check(seen)
                return self._challenge(seen) or self._grant(seen)
            except Refused as refused:
                return Answer(400, self.refusal(str(refused)))

    def refusal(self, message: str, code: str = "invalid_request") -> dict[str, Any]:
        """A refusal in the platform's dialect."""
        if self.source in {"service_fabric", "cloud_shell"}:
            return {"error": {"code": code, "message": message, "correlationId": "c-1"}}
        if self.source in {"app_service", "machine_learning"}:
            return {"statusCode": 400, "message": message, "correlationId": "c-1"}
        return {"error": code, "error_description": message}

    def _encrypt(self) -> bytes:
        directory = self._directory / "tls"
        directory.mkdir(parents=True)
        pem = make_certificate(directory, "127.0.0.2")  # its name is another, and nobody trusts it
        self._server.socket = server_context(pem).wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        return x509.load_pem_x509_certificate(pem.read_bytes()).public_bytes(Encoding.DER)

    def _check(self, seen: Seen) -> None:
        if seen.headers.get("metadata") != "true":
            raise Refused("Required metadata header not specified")
        if "x-forwarded-for" in seen.headers:
            raise Refused("Forwarded requests are not allowed")
        secret = seen.headers.get(SECRET_HEADERS.get(self.source, ""), "")
        if self.source in SECRET_HEADERS and secret != SECRET:
            raise Refused(f"the secret is wrong: {secret}")
        if seen.method != ("POST" if self.source == "cloud_shell" else "GET"):
            raise Refused("Method not allowed")
        if seen.asked.get("api-version") != API_VERSIONS.get(self.source):
            raise Refused("The provided version is not supported")
        if not seen.asked.get("resource"):
            raise Refused("The required query variable 'resource' is missing.")
        unknown = seen.asked.keys() - {"api-version", "resource"} - PARAMETERS.get(self.source, set())
        if unknown:
            raise Refused(f"unknown parameters: {sorted(unknown)}")

    def _challenge(self, seen: Seen) -> Answer | None:
        if self.source != "azure_arc":
            return None
        scheme, _, key = seen.headers.get("authorization", "").partition(" ")
        if scheme == "Basic" and key in self._open_keys:
            self._open_keys.remove(key)
            return None
        path = self.new_key()
        return Answer(401, b"", {"WWW-Authenticate": f"Basic realm={path}"})

    def new_key(self) -> Path:
        """Write the file that proves who can read it, as Azure Arc's agent does."""
        self.keys.mkdir(exist_ok=True)
        number = next(self._numbers)
        key, path = f"canary-key-{number}", self.keys / f"{number}.key"
        path.write_text(key)
        self._open_keys.add(key)
        return path

    def _grant(self, seen: Seen) -> Answer:
        token = f"at-{self.source}-{len(self.granted) + 1}"
        self.granted.append(token)
        until = int(self._clock.time()) + self.lifetime
        fields = {
            "access_token": token,
            "token_type": "Bearer",
            "resource": seen.asked["resource"],
            **self._lifetime(until),
            **self.fields,
        }
        return Answer(200, {name: value for name, value in fields.items() if value is not ...})

    def _lifetime(self, until: int) -> dict[str, Any]:
        if self.source == "service_fabric":
            return {"expires_on": until}
        if self.source == "app_service":
            return {"expires_on": str(until)}
        if self.source == "machine_learning":
            return {"expires_on": datetime.fromtimestamp(until, UTC).strftime("%m/%d/%Y %I:%M:%S %p +00:00")}
        return {"expires_in": str(self.lifetime), "expires_on": str(until), "not_before": str(until - self.lifetime)}


def _handler_of(endpoint: ManagedIdentityEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            self._respond(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["content-length"])).decode())

        def _respond(self, parameters: str) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = endpoint.answer(Seen(self.command, dict(parse_qsl(parameters)), headers))
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving_identities(source: str, clock: Clock, directory: Path) -> Iterator[ManagedIdentityEndpoint]:
    """An endpoint for the time of a test."""
    endpoint = ManagedIdentityEndpoint(source, clock, directory)
    try:
        yield endpoint
    finally:
        endpoint.close()
