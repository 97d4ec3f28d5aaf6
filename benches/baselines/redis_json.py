"""The same with a Redis server on this machine, over TCP on loopback or over a unix socket, by redis-py.

The server is started here if it is installed, keeps everything in memory and ends with the benches.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import redis

from benches.baselines.json_tokens import JsonTokens

PROGRAM = "redis-server"
PATIENCE = 30.0  # seconds until the server must answer
SOCKET = "redis.sock"
MAX_SOCKET_PATH = 107  # bytes, sun_path


def is_installed() -> bool:
    """Tell whether there is a Redis server on this machine."""
    return shutil.which(PROGRAM) is not None


class RedisServer:
    """A server of our own; use it as a context manager. `directory` is where its socket lies."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        self.socket = directory / SOCKET
        assert len(str(self.socket)) <= MAX_SOCKET_PATH, f"expected a shorter path for a socket, got {self.socket}"
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.socket)]
        arguments += ["--save", "", "--appendonly", "no", "--dir", str(directory)]
        self._process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def __enter__(self) -> Self:
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()

    def over_tcp(self) -> redis.Redis:
        """Return a client with a connection on loopback."""
        return redis.Redis(host="127.0.0.1", port=self.port)

    def over_socket(self) -> redis.Redis:
        """Return a client with a connection over the unix socket."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE
        with self.over_socket() as client:
            while not _answers(client):
                assert self._process.poll() is None, f"expected {PROGRAM} to run, it ended"
                assert time.monotonic() < deadline, f"expected {PROGRAM} to answer within {PATIENCE} s"
                time.sleep(0.02)

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class RedisCache(JsonTokens):
    """One client's tokens in a server."""

    def __init__(self, client: redis.Redis, client_id: str) -> None:
        super().__init__(client_id)
        self._client = client

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _write(self, key: str, value: bytes) -> None:
        self._client.set(key, value)

    def _read(self, key: str) -> Mapping[str, Any] | None:
        value: Any = self._client.get(key)
        return None if value is None else orjson.loads(value)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
