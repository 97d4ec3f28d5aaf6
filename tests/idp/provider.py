"""Starts, stops and controls the provider's process."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx2

from idp.installation import Node, find_node, install
from idp.mkkeys import make_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 90.0
STOP_SECONDS = 10.0
SETTINGS = {
    "at": 60,
    "rt": 3600,
    "id": 60,
    "rotate": "always",
    "format": "jwt",
    "skew": 0,
    "refresh_in": 0,
    "exchange": True,
}


@dataclass(frozen=True)
class Counters:
    """What the provider was asked: requests by path, grants by type, errors by `grant type:error:detail`."""

    requests: dict[str, int]
    grants: dict[str, int]
    errors: dict[str, int]

    @property
    def token_requests(self) -> int:
        """How often the token endpoint was asked, faults included."""
        return self.requests.get("/token", 0)

    @property
    def refreshes(self) -> int:
        """How many refresh tokens were redeemed."""
        return self.grants.get("refresh_token", 0)

    @property
    def refused_refreshes(self) -> int:
        """How many refresh requests were refused; a replay is one of them."""
        return sum(count for error, count in self.errors.items() if error.startswith("refresh_token:"))


class Provider:
    """One process of `oidc-provider` on a free port of the loopback interface.

    `directory` gets the keys (`keys`) and what the process says (`log`).
    """

    def __init__(self, directory: Path) -> None:
        self.keys = directory / "keys"
        make_keys(self.keys)
        node = find_node()
        self._process = _start(node, install(node), directory)
        try:
            self.issuer = _issuer(self._process, directory)
            # Node closes idle connections after as long as httpx2 keeps them: no connection is used twice.
            limits = httpx2.Limits(max_keepalive_connections=0)
            self._http = httpx2.Client(base_url=self.issuer, trust_env=False, limits=limits, timeout=60)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        self._http.close()
        self._end()

    def _end(self) -> None:
        with self._process as process:  # closes its pipes
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def reset(self) -> None:
        """Forget all users, tokens, counters and faults, and go back to the first settings."""
        self._control({"wipe": True, "reset_stats": True, "faults": [], **SETTINGS})

    def pass_time(self, seconds: int) -> None:
        """Set the clock to this many seconds after the real one."""
        self._control({"skew": seconds})

    def fail(self, *, path: str = "/token", times: int = 1, **fault: Any) -> None:
        """Answer the next requests for a path wrongly; `idp.mjs` lists the faults."""
        self._control({"faults": [{"path": path, "times": times, **fault}]})

    def set_rotation(self, rotate: Literal["always", "never"]) -> None:
        """Say whether each refresh brings a new refresh token."""
        self._control({"rotate": rotate})

    def list_token_exchange(self, listed: bool) -> None:
        """Say whether the metadata list the grant; a program that has read them goes by what they said then."""
        self._control({"exchange": listed})

    @property
    def counters(self) -> Counters:
        """What was asked since the last reset."""
        stats = self._http.get("/__ctl").raise_for_status().json()["stats"]
        return Counters(stats["requests"], stats["grants"], stats["errors"])

    def redeem(self, refresh_token: str) -> httpx2.Response:
        """Send a refresh request of the client `cli` by hand."""
        form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": refresh_token}
        return self._http.post("/token", data=form)

    def _control(self, command: dict[str, Any]) -> None:
        self._http.post("/__ctl", json=command).raise_for_status()


def _start(node: Node, home: Path, directory: Path) -> subprocess.Popen[bytes]:
    settings = {"PORT": "0", "KEYS": str(directory / "keys"), "EXIT_WITH_STDIN": "1"}
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [*node.node, str(home / "idp.mjs")],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )


def _issuer(process: subprocess.Popen[bytes], directory: Path) -> str:
    for line in _lines(process):
        if line.startswith("ready "):
            return line.split()[1]
    log = (directory / "log").read_text(errors="replace")
    raise RuntimeError(f"the identity provider did not start within {START_SECONDS:.0f} s:\n{log}")


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines that the process prints until it ends or the time to start is over."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                return
            *lines, output = (output + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
