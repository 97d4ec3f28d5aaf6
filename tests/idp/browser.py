"""A browser for `open_browser` that signs a user in at the development pages of `oidc-provider`."""

from __future__ import annotations

import threading
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2

MAX_STEPS = 20
STEP_SECONDS = 60.0


class Browser:
    """Call it with a URL: it follows the redirects with cookies, signs `username` in, consents, and goes back.

    All of that happens in a thread, so the call returns at once, as with a real browser. Each call is a new session.
    """

    def __init__(self, username: str = "alice") -> None:
        self.username = username
        self.visits: list[str] = []
        self.landing_page = ""
        self.error: Exception | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, url: str) -> None:
        """Open a URL; what goes wrong is raised by `join`."""
        self.visits.append(url)
        self._thread = threading.Thread(target=self._browse_and_keep_error, args=(url,), name="browser")
        self._thread.start()

    def join(self) -> None:
        """Wait until the last call is done; raise its error."""
        if self._thread is not None:
            self._thread.join(2 * STEP_SECONDS)
        if self.error is not None:
            raise self.error

    def _browse_and_keep_error(self, url: str) -> None:
        try:
            self.landing_page = self._browse(url)
        except Exception as error:  # noqa: BLE001 (raised by join)
            self.error = error

    def _browse(self, url: str) -> str:
        with httpx2.Client(follow_redirects=True, trust_env=False, timeout=STEP_SECONDS) as http:
            reply = http.get(url)
            for _ in range(MAX_STEPS):
                form = _form_of(reply.text)
                if form is None:
                    return reply.raise_for_status().text
                reply = http.post(urljoin(str(reply.url), form.action), data=self._filled(form))
        raise RuntimeError(f"the sign-in did not end after {MAX_STEPS} pages")

    def _filled(self, form: _Form) -> dict[str, str]:
        typed = {"login": self.username, "password": "any will do"}
        return form.fields | {name: text for name, text in typed.items() if name in form.fields}


class _Form(HTMLParser):
    """Reads the first form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.found = self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.found:
            self.action = given.get("action", "")
            self.found = self._inside = True
        elif tag == "input" and self._inside and "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def _form_of(page: str) -> _Form | None:
    form = _Form()
    form.feed(page)
    return form if form.found else None
