"""Azure Arc: who can read a file of its agent gets a token, and whoever answers must not choose that file."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from support.managed_identity import VAULT, Place, failed
from support.managed_identity_endpoint import Answer

from warmtoken import (
    ClientError,
    ProtocolError,
    ServiceError,
    WarmTokenError,
)


def test_azure_arc_is_shown_the_content_of_the_file_that_it_names(enter: Callable[[str], Place]) -> None:
    place = enter("azure_arc")
    place.app().acquire_token_for_managed_identity(VAULT)
    first, second = place.endpoint.seen
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == "Basic canary-key-1"


@pytest.mark.parametrize(
    "challenge",
    [
        "Basic realm=/etc/shadow",
        "Basic realm={keys}/1.txt",
        "Basic realm={keys}/../keys/1.key",
        "Basic realm={keys}/sub/1.key",
        "Basic realm={keys}",
        "Basic realm={keys}/.key",
        "Basic realm=1.key",
        "Bearer realm={keys}/1.key",
        "Basic",
        "",
    ],
)
def test_no_file_elsewhere_is_read(enter: Callable[[str], Place], challenge: str) -> None:
    place = enter("azure_arc")
    place.endpoint.new_key()
    header = challenge.format(keys=place.endpoint.keys)
    place.endpoint.next_answers = [Answer(401, b"", {"WWW-Authenticate": header} if header else {})]
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), ProtocolError)
    assert error.code == "managed_identity_request_failed"
    assert len(place.endpoint.seen) == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"k" * 4097, ProtocolError), (b"", ProtocolError), (b"canary\r\nX: y", ProtocolError), (b"\xff", ProtocolError),
     ("link", ClientError), ("pipe", ProtocolError), (None, ClientError)],
)  # fmt: skip
def test_a_file_that_cannot_be_a_key_is_not_sent(
    enter: Callable[[str], Place], content: bytes | str | None, kind: type[WarmTokenError]
) -> None:
    place = enter("azure_arc")
    path = place.endpoint.new_key()
    path.unlink()
    if content == "link":
        path.symlink_to("/etc/hostname")
    elif content == "pipe":
        os.mkfifo(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    place.endpoint.next_answers = [Answer(401, b"", {"WWW-Authenticate": f"Basic realm={path}"})]
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), kind)
    assert error.code == "managed_identity_request_failed"
    assert "canary" not in str(error)
    assert len(place.endpoint.seen) == 1


@pytest.mark.parametrize("content", [b"k" * 4096, b"canary-key\n"])
def test_a_file_of_4096_bytes_is_a_key(enter: Callable[[str], Place], content: bytes) -> None:
    place = enter("azure_arc")
    path = place.endpoint.new_key()
    path.write_bytes(content)
    place.endpoint._open_keys.add(content.decode().strip())
    place.endpoint.next_answers = [Answer(401, b"", {"WWW-Authenticate": f'Basic realm="{path}"'})]
    assert place.app().acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]


def test_a_key_that_is_refused_is_a_refusal(enter: Callable[[str], Place]) -> None:
    place = enter("azure_arc")
    path = place.endpoint.new_key()
    challenge = Answer(
        401, place.endpoint.refusal("canary-key-1 is wrong"), {"WWW-Authenticate": f"Basic realm={path}"}
    )
    place.endpoint.next_answers = [challenge, challenge]
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), ServiceError)
    assert (error.status, error.error_description) == (401, "[redacted] is wrong")
