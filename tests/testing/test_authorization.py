from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from testing.conftest import ALICE, REDIRECT_URI, answer_of

if TYPE_CHECKING:
    from testing.conftest import App

    from warmtoken.testing import IdentityProvider


class Inputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input":
            self.found[given["name"] or ""] = given["value"] or ""


def inputs_of(page: str) -> dict[str, str]:
    parser = Inputs()
    parser.feed(page)
    return parser.found


def test_sign_in_page_carries_the_request_and_the_hint(app: App) -> None:
    page = app.open(login_hint=ALICE, state='"><script>alert(1)</script>')
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text
    inputs = inputs_of(page.text)
    assert inputs["username"] == ALICE
    assert inputs["state"] == '"><script>alert(1)</script>'
    assert inputs["code_challenge"] == app.authorization_parameters()["code_challenge"]


def test_answer_has_code_state_and_issuer(app: App, idp: IdentityProvider) -> None:
    answer = answer_of(app.submit())
    assert answer.pop("code")
    assert answer == {"state": "state-1", "iss": idp.issuer}
    assert idp.counters.sign_ins == 1


def test_cancel_is_access_denied_with_state_and_issuer(app: App, idp: IdentityProvider) -> None:
    answer = answer_of(app.submit(action="cancel"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "state-1", idp.issuer)
    assert idp.counters.sign_ins == 0


def test_a_form_without_a_name_shows_the_page_again(app: App) -> None:
    assert "<form" in app.submit("  ").text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_bad_requests_are_told_to_the_client(app: App, changes: dict[str, str | None], error: str) -> None:
    answer = answer_of(app.open(**changes))
    assert (answer["error"], answer["state"]) == (error, "state-1")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://evil.example/callback",
        "http://evil.example/callback",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1/#fragment",
        "http://[::1",
        None,
    ],
)
def test_no_redirect_to_places_that_cannot_be_trusted(app: App, redirect_uri: str | None) -> None:
    for reply in (app.open(redirect_uri=redirect_uri), app.submit(redirect_uri=redirect_uri)):
        assert reply.status_code == 400
        assert "location" not in reply.headers


@pytest.mark.parametrize(
    "redirect_uri", ["http://127.0.0.1:1/x", "http://localhost:65535/", "http://[::1]:8080/cb?a=b"]
)
def test_loopback_redirects_on_any_port(app: App, redirect_uri: str) -> None:
    """RFC 8252, section 7.3."""
    location = app.submit(redirect_uri=redirect_uri).headers["location"]
    assert location.startswith(redirect_uri)
    query = dict(parse_qsl(urlsplit(location).query))
    assert query["code"]
    assert query.get("a") == ("b" if "?" in redirect_uri else None)


def test_other_redirects_must_have_been_added(app: App, idp: IdentityProvider) -> None:
    web = "https://app.example.test/signed-in"
    idp.add_client("app", redirect_uris=[web])
    assert app.submit(redirect_uri=web).headers["location"].startswith(f"{web}?code=")
    assert app.submit(redirect_uri=f"{web}/more").status_code == 400


def test_duplicate_parameters_are_refused(app: App) -> None:
    """RFC 6749, section 3.1."""
    query = list(app.authorization_parameters().items())
    assert app.http.get("/authorize", params=[*query, ("redirect_uri", REDIRECT_URI)]).status_code == 400


def test_a_signed_in_browser_is_not_asked_again(app: App) -> None:
    app.submit()
    assert "code" in answer_of(app.open(prompt="none"))
    assert "code" in answer_of(app.open())
    assert "<form" in app.open(prompt="login").text
    assert answer_of(app.open(prompt="none", login_hint="bob@example.test"))["error"] == "login_required"


def test_revoking_the_user_ends_the_session_of_the_browser(app: App, idp: IdentityProvider) -> None:
    app.submit()
    idp.revoke_user(ALICE)
    assert answer_of(app.open(prompt="none"))["error"] == "login_required"


def test_form_post_answers_in_the_body(app: App, idp: IdentityProvider) -> None:
    page = app.submit(response_mode="form_post")
    inputs = inputs_of(page.text)
    assert f'action="{REDIRECT_URI}"' in page.text
    assert inputs.pop("code")
    assert inputs == {"state": "state-1", "iss": idp.issuer}


def test_confidential_clients_may_go_without_pkce(app: App) -> None:
    assert "code" in answer_of(app.submit(client_id="service", code_challenge=None, code_challenge_method=None))


def test_the_answer_can_be_forged_on_purpose(app: App, idp: IdentityProvider) -> None:
    idp.authorization_response = {"iss": "https://other.example.test", "state": None}
    answer = answer_of(app.submit())
    assert answer["iss"] == "https://other.example.test"
    assert "state" not in answer
