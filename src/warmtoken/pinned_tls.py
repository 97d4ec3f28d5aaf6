"""TLS with one server, known by its certificate's thumbprint, whoever signed the certificate."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from typing import Self


class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _check(self.getpeercert(binary_form=True), self.context)


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _check(self.getpeercert(binary_form=True), self.context)


class PinnedContext(ssl.SSLContext):
    """A context whose handshakes end with an SSLCertVerificationError unless the certificate is the one that is known.

    Nothing has been sent by then but the handshake, in which the server has proved that it has the certificate's key.
    The thumbprint is SHA-1, as Windows and Azure name certificates: to forge one takes a second preimage, not one of
    the collisions that are known.
    """

    thumbprint: bytes
    sslobject_class = _PinnedObject
    sslsocket_class = _PinnedSocket

    @classmethod
    def of(cls, thumbprint: str) -> Self:
        """Return the context for a thumbprint of 40 hexadecimal digits."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        # The thumbprint stands for both: it names one certificate, and no authority has to vouch for it.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.thumbprint = bytes.fromhex(thumbprint)
        return context


def _check(certificate: bytes | None, context: ssl.SSLContext) -> None:
    assert isinstance(context, PinnedContext)
    came = hashlib.sha1(certificate or b"", usedforsecurity=False).digest()
    if not hmac.compare_digest(came, context.thumbprint):
        message = "the server has another certificate than the one whose thumbprint is known"
        raise ssl.SSLCertVerificationError(ssl.SSLErrorNumber.SSL_ERROR_SSL, message)
