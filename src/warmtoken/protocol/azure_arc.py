"""Azure Arc's challenge: who can read a file of its agent may have tokens of the machine's identity."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from warmtoken.errors import ClientError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = "/var/opt/azcmagent/tokens"
MAX_KEY = 4096  # bytes

_CHALLENGE = re.compile(r'Basic +realm="?([^"]*)"?', re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,250}\.key")
_KEY = re.compile(r"[\x21-\x7e]+")
_CODE = "managed_identity_request_failed"


def challenged_file(headers: Mapping[str, str]) -> str:
    """Return the path of the file that an answer 401 names, which is in the directory of the agent's keys.

    Raises ProtocolError for any other path: whoever answers must not choose what is read and sent to them.
    """
    match = _CHALLENGE.fullmatch(headers.get("www-authenticate", "").strip())
    directory, _, name = match[1].rpartition("/") if match else ("", "", "")
    if directory != KEYS or not _NAME.fullmatch(name):
        raise ProtocolError(
            _CODE, f"expected Azure Arc to ask for a file {KEYS}/*.key (WWW-Authenticate: Basic), it did not"
        )
    return f"{KEYS}/{name}"


def read_key(path: str) -> str:
    """Return what a file of the agent's holds; blocks.

    Raises ClientError where it cannot be read, ProtocolError where it is no small file of printable characters. No
    message holds anything of it.
    """
    try:
        content = _read(path)
    except OSError as error:
        raise ClientError(
            _CODE,
            f"expected to read {path}, as Azure Arc asks: {os.strerror(error.errno or 0)}; "
            "let the user of this process be a member of the group himds",
        ) from None
    text = content.decode("ascii", "replace").strip()
    if len(content) > MAX_KEY or not _KEY.fullmatch(text):
        raise ProtocolError(_CODE, f"expected {path} to hold at most {MAX_KEY} bytes of visible ASCII characters")
    return text


def _read(path: str) -> bytes:
    # Not a link, which could lead elsewhere, and not a pipe, which could block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return file.read(MAX_KEY + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
