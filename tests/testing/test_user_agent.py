from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from support.world import held_replies

from warmtoken.errors import ProtocolError
from warmtoken.testing import UserAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testing.conftest import App

    from warmtoken.testing import IdentityProvider


class Receiver(HTTPServer):
    """The loopback redirect receiver of a program."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.received: list[dict[str, str]] = []
        self.cookies: list[str] = []
        self.status = 200

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/callback"


class _Receive(BaseHTTPRequestHandler):
    server: Receiver

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, query: str) -> None:
        self.server.cookies.append(self.headers.get("Cookie", ""))
        self.server.received.append(dict(parse_qsl(query)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"landed")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def sign_in_url(idp: IdentityProvider, app: App, receiver: Receiver, **changes: str) -> str:
    parameters = app.authorization_parameters(redirect_uri=receiver.redirect_uri, **changes)
    return f"{idp.issuer}/authorize?{urlencode(parameters)}"


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_signs_in_and_comes_back(idp: IdentityProvider, app: App, receiver: Receiver, mode: str) -> None:
    agent = UserAgent("bob")
    assert agent(sign_in_url(idp, app, receiver, response_mode=mode)) is True
    agent.join()
    [answer] = receiver.received
    assert (answer["state"], answer["iss"]) == ("state-1", idp.issuer)
    tokens = app.redeem(answer["code"], redirect_uri=receiver.redirect_uri)
    assert tokens.status_code == 200
    assert agent.last_page == "landed"


def test_keeps_the_cookies_of_one_call(idp: IdentityProvider, app: App, receiver: Receiver) -> None:
    agent = UserAgent("bob", background=False)
    for _ in range(2):
        agent(sign_in_url(idp, app, receiver))
    assert len(receiver.cookies) == 2
    assert all("warmtoken_testing" in cookies for cookies in receiver.cookies)  # of the provider, on the same host
    assert len(set(receiver.cookies)) == 2
    assert idp.counters.requests["authorize"] == 4  # asked for the name each time


def test_cancels(idp: IdentityProvider, app: App, receiver: Receiver) -> None:
    agent = UserAgent(behaviour="cancel")
    agent(sign_in_url(idp, app, receiver))
    agent.join()
    assert receiver.received[0]["error"] == "access_denied"


def test_closes_the_browser(idp: IdentityProvider, app: App, receiver: Receiver) -> None:
    agent = UserAgent(behaviour="close")
    agent(sign_in_url(idp, app, receiver))
    agent.join()
    assert "Sign in" in agent.last_page
    assert receiver.received == []
    assert idp.counters.sign_ins == 0


def test_returns_at_once_and_join_has_a_deadline(idp: IdentityProvider, app: App, receiver: Receiver) -> None:
    idp.fail_next("authorize", delay=0.5)
    agent = UserAgent()
    with held_replies(idp):
        agent(sign_in_url(idp, app, receiver))
        assert receiver.received == []
        with pytest.raises(TimeoutError):
            agent.join(0.01)
    agent.join()
    assert len(receiver.received) == 1


def test_join_raises_what_went_wrong_once(idp: IdentityProvider, app: App, receiver: Receiver) -> None:
    agent = UserAgent()
    idp.fail_next("authorize", status=500)
    agent(sign_in_url(idp, app, receiver))
    with pytest.raises(ProtocolError, match="500"):
        agent.join()
    agent.join()
    idp.stop()
    agent(sign_in_url(idp, app, receiver))
    with pytest.raises(OSError, match="refused"):
        agent.join()


def test_a_landing_page_that_refuses_is_an_error(idp: IdentityProvider, app: App, receiver: Receiver) -> None:
    receiver.status = 400
    with pytest.raises(ProtocolError, match="400"):
        UserAgent(background=False)(sign_in_url(idp, app, receiver))
    assert len(receiver.received) == 1


def test_proxy_settings_do_not_matter(
    idp: IdentityProvider, app: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    UserAgent(background=False)(sign_in_url(idp, app, receiver))
    assert len(receiver.received) == 1


def test_unknown_behaviour() -> None:
    with pytest.raises(ValueError, match="sign_in, cancel, close"):
        UserAgent(behaviour="dance")  # type: ignore[arg-type]
