"""A server on raw sockets that answers as it is told, byte for byte, and a provider whose token endpoint does."""

from __future__ import annotations

import base64
import json
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from warmtoken.testing import Clock

Answer = Callable[[socket.socket], object]


class Server:
    """A TCP server: reads one request at a time, as they come on a connection, and lets `answer` reply to each."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.connections = 0
        self.requests: list[bytes] = []
        self.answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def url(self, path: str = "/token?query=q") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def respond(self, sock: socket.socket, request: bytes) -> None:
        self.answer(sock)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            if self._context is not None:
                with self._context.wrap_socket(sock, server_side=True) as encrypted:
                    self._sockets.append(encrypted)
                    self._answer_all(encrypted)
            else:
                self._answer_all(sock)

    def _answer_all(self, sock: socket.socket) -> None:
        while request := _read_request(sock):
            self.requests.append(request)
            self.respond(sock, request)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()  # it may have a connection that is not yet in the list
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


def _read_request(sock: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        data = sock.recv(65536)
        if not data:
            return b""
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(dict(re.findall(rb"(content-length): *(\d+)", head.lower())).get(b"content-length", b"0"))
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for the time of a test."""
    server = Server(answer, context)
    try:
        yield server
    finally:
        server.close()


# --- answers ---


def reply(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "") -> Answer:
    """A whole reply; `headers` are lines that end with CR and LF."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
    return lambda sock: sock.sendall(head + body)


def raw(sent: bytes) -> Answer:
    """These bytes, and then nothing on an open connection."""
    return lambda sock: sock.sendall(sent)


def cut(sent: bytes) -> Answer:
    """These bytes, and then the end of the connection."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_RDWR)

    return answer


def reset(sent: bytes) -> Answer:
    """These bytes, and then a TCP reset."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(sent)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    return answer


def drip(prefix: bytes, piece: bytes, pause: float = 0.1) -> Answer:
    """The prefix, and then a piece every `pause` seconds for as long as anybody listens."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(prefix)
        while not select.select([sock], [], [], pause)[0]:  # it is readable when the other side has gone
            sock.sendall(piece)

    return answer


def endless(head: bytes, piece: bytes, size: int) -> Answer:
    """The head, and then `size` bytes made of pieces, for as long as anybody listens."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(head)
        for _ in range(size // len(piece)):
            sock.sendall(piece)

    return answer


# --- a provider ---


class FaultyProvider(Server):
    """An OpenID Connect provider whose token endpoint answers as `answer` says, and its metadata as `metadata_answer`.

    `token_endpoint` is another server's where that is the one to fail. `tokens()` is a sound reply.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(self.grant)
        self.metadata_answer: Answer = self.describe
        self._clock = clock
        self.token_endpoint = self.url("/token")

    @property
    def issuer(self) -> str:
        return self.url("")

    @property
    def token_requests(self) -> list[bytes]:
        return [request for request in self.requests if request.startswith(b"POST ")]

    def respond(self, sock: socket.socket, request: bytes) -> None:
        (self.metadata_answer if request.startswith(b"GET ") else self.answer)(sock)

    def describe(self, sock: socket.socket) -> None:
        """Answer with sound metadata."""
        reply(json.dumps(self.metadata()).encode())(sock)

    def metadata(self) -> dict[str, str]:
        """What the provider says of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.token_endpoint,
        }

    def grant(self, sock: socket.socket) -> None:
        """Answer with tokens."""
        reply(json.dumps(self.tokens()).encode(), headers="Content-Type: application/json\r\n")(sock)

    def tokens(self, subject: str = "alice") -> dict[str, Any]:
        """What the token endpoint grants: each time other tokens, with an id token of `subject`."""
        number = len(self.requests)
        return {
            "access_token": f"at-{number}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "openid orders.read",
            "refresh_token": f"rt-{number}",
            "id_token": self._id_token(subject),
        }

    def _id_token(self, subject: str) -> str:
        now = int(self._clock.time())
        claims = {"iss": self.issuer, "aud": "cli", "sub": subject, "iat": now, "exp": now + 3600}
        return f"{_segment({'alg': 'RS256'})}.{_segment(claims)}.c2ln"


def _segment(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@contextmanager
def faulty_provider(clock: Clock) -> Iterator[FaultyProvider]:
    """A provider for the time of a test."""
    provider = FaultyProvider(clock)
    try:
        yield provider
    finally:
        provider.close()


# --- TLS ---


def make_certificate(directory: Path, address: str = "127.0.0.1", *, days_left: float = 1) -> Path:
    """A self-signed certificate of an address, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    since, until = now - timedelta(9), now + timedelta(days_left)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, since, until)
    named = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    certificate = builder.add_extension(named, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = directory / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    """What a TLS server with this certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
