"""A server is believed by its certificate's thumbprint, and nothing is sent to another one."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.fault_server import make_certificate, reply, server_context, serving

from warmtoken.pinned_tls import PinnedContext

REQUEST = b"GET / HTTP/1.1\r\nSecret: canary\r\n\r\n"


def by_socket(context: ssl.SSLContext, sock: socket.socket) -> bytes:
    with context.wrap_socket(sock, server_hostname="localhost") as encrypted:
        encrypted.sendall(REQUEST)
        return encrypted.recv(100)


def by_memory(context: ssl.SSLContext, sock: socket.socket) -> bytes:
    """As event loops do it: TLS between two buffers."""
    came, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, going, server_hostname="localhost")

    def done(step: Callable[[], object]) -> object:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                sock.sendall(going.read())
                came.write(sock.recv(65536))

    done(tls.do_handshake)
    tls.write(REQUEST)
    sock.sendall(going.read())
    found = done(lambda: tls.read(100))
    assert isinstance(found, bytes)
    return found


def thumbprint_of(pem: Path) -> str:
    certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    return hashlib.sha1(certificate.public_bytes(Encoding.DER)).hexdigest()


@pytest.mark.parametrize("talk", [by_socket, by_memory])
def test_a_certificate_is_believed_by_its_thumbprint_whoever_signed_it(
    tmp_path: Path, talk: Callable[[ssl.SSLContext, socket.socket], bytes]
) -> None:
    pem = make_certificate(tmp_path, "192.0.2.1")
    with (
        serving(reply(b"hello"), server_context(pem)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        assert talk(PinnedContext.of(thumbprint_of(pem)), sock).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("talk", [by_socket, by_memory])
def test_nothing_is_sent_to_a_server_with_another_certificate(
    tmp_path: Path, talk: Callable[[ssl.SSLContext, socket.socket], bytes]
) -> None:
    pem = make_certificate(tmp_path)
    other = f"{int(thumbprint_of(pem), 16) ^ 1:040x}"
    with (
        serving(reply(b"hello"), server_context(pem)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        with pytest.raises(ssl.SSLCertVerificationError, match="thumbprint"):
            talk(PinnedContext.of(other), sock)
        sock.close()
    assert server.requests == []
