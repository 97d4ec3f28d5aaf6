"""The examples of docs/token-provider.md, run against a sidecar."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.token_provider import service
from support.world import World, new_world

from warmtoken import ThrottledError

PAGE = (Path(__file__).parents[1] / "docs" / "token-provider.md").read_text()
EXAMPLES = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


class Sidecar(BaseHTTPRequestHandler):
    asked: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        self.asked.append(parse_qs(urlsplit(self.path).query))
        body = json.dumps({"access_token": f"from-the-sidecar-{len(self.asked)}", "expires_in": 600}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def sidecar() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    handler = type("Handler", (Sidecar,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def example(world: World, address: str) -> dict[str, Any]:
    here = EXAMPLES.replace("127.0.0.1:8400", address).replace("    authority=", "    cache=cache,\n    authority=")
    names: dict[str, Any] = {"cache": world.cache}
    exec(compile(here, "docs/token-provider.md", "exec"), names)
    return names


def test_a_service_has_the_token_of_its_sidecar(world: World, sidecar: tuple[str, list[dict[str, list[str]]]]) -> None:
    address, asked = sidecar
    names = example(world, address)
    assert {names["header"]() for _ in range(3)} == {"Bearer from-the-sidecar-1"}
    assert asked == [{"scope": ["orders.read"]}]
    world.clock.advance(600)
    assert names["header"]() == "Bearer from-the-sidecar-2"


def test_a_busy_vault_is_left_alone(world: World) -> None:
    busy, calls = example(world, "127.0.0.1:1")["busy"], []

    def function(_: object) -> None:
        calls.append(1)
        raise busy(30)

    app = service(world, function)
    for _ in range(2):
        with pytest.raises(ThrottledError, match="the vault is busy"):
            app.acquire_token_for_client(["orders.read"])
    assert len(calls) == 1


def test_a_vault_may_be_awaited(tmp_path: Path) -> None:
    with new_world("async", tmp_path) as world:
        names = example(world, "127.0.0.1:1")

        async def lease(*scopes: str) -> SimpleNamespace:
            return SimpleNamespace(token=f"lease-of-{'-'.join(scopes)}", seconds=600)

        names["vault"] = SimpleNamespace(lease=lease)
        result = service(world, names["from_vault"]).acquire_token_for_client(["orders.read"])
        assert result.access_token == "lease-of-orders.read"
        assert result.metadata.refresh_on == result.expires_on - 300
