"""The web site of docs/web.md, as a reader would run it, and a browser that visits it."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from support.web_site import served

from warmtoken.testing import IdentityProvider, UserAgent

PAGE = (Path(__file__).parents[1] / "docs" / "web.md").read_text()
CLIENT_ID, CLIENT_SECRET = "service", "service-secret"


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture
def site(idp: IdentityProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """Where the site is, and the names of its module."""
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("XDG_", "WARMTOKEN_"))]:
        monkeypatch.delenv(name)
    with served() as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("REDIRECT_URI", f"{address}/callback")
        monkeypatch.setenv("AUTHORITY", idp.issuer)
        monkeypatch.setenv("CLIENT_ID", CLIENT_ID)
        monkeypatch.setenv("CLIENT_SECRET", CLIENT_SECRET)
        names = runpy.run_path(str(tmp_path / "example.py"))
        server.set_app(names["site"])
        yield address, names
        names["app"].cache.close()
        names["app"].close()


def test_a_user_signs_in_and_is_known_afterwards(idp: IdentityProvider, site: tuple[str, Any]) -> None:
    address, names = site
    for user in ("alice@example.test", "bob@example.test"):
        agent = UserAgent(user, background=False)
        agent(address)
        assert agent.last_page == f"Hello {user}"
    assert [account.username for account in names["app"].get_accounts()] == ["alice@example.test", "bob@example.test"]
    assert idp.counters.grants == {"authorization_code": 2}
    assert all("flow" not in session for session in names["sessions"].values())


@pytest.mark.parametrize("query", ["", "?code=c&state=s", "?error=access_denied&state=s"])
def test_a_redirect_that_no_sign_in_waits_for_is_refused(
    idp: IdentityProvider, site: tuple[str, Any], query: str
) -> None:
    address, names = site
    with pytest.raises(HTTPError) as refused, urlopen(f"{address}/callback{query}", timeout=60):
        pass
    with refused.value as page:
        assert (page.status, page.read()) == (503, b"No sign-in: state_mismatch")
    assert names["app"].get_accounts() == []
    assert idp.counters.grants == {}


def test_other_pages_begin_no_sign_in(site: tuple[str, Any]) -> None:
    """As the icon that a browser asks for by itself while its user signs in."""
    address, names = site
    with pytest.raises(HTTPError) as refused, urlopen(f"{address}/favicon.ico", timeout=60):
        pass
    with refused.value as page:
        assert page.status == 404
    assert [*names["sessions"].values()] == [{}]
