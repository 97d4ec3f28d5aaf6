"""The pages that a user sees: sign in, approve a device, done, sorry."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem; }}
input {{ font: inherit; box-sizing: border-box; width: 100%; padding: .4rem; margin: .2rem 0 1rem; }}
button {{ font: inherit; padding: .4rem 1rem; }}
small {{ color: #666; }}
</style>
</head>
<body>
<h1>{title}</h1>
{content}
<p><small>warmtoken.testing: for development only, any name signs in.</small></p>
</body>
</html>
"""

_BUTTONS = """<button type="submit" name="action" value="{action}">{label}</button>
<button type="submit" name="action" value="cancel" formnovalidate>Cancel</button>"""


def sign_in_page(client_id: str, parameters: Mapping[str, str], *, login_hint: str) -> str:
    """The form; it carries the parameters of the authorization request along."""
    inputs = _hidden(parameters) + _text_input("username", "User name", login_hint)
    buttons = _BUTTONS.format(action="sign_in", label="Sign in")
    form = f'<form method="post" action="/authorize">\n{inputs}\n{buttons}\n</form>'
    return _page("Sign in", f"<p>to go on to <b>{escape(client_id)}</b></p>\n{form}")


def device_page(user_code: str) -> str:
    """The form where a user approves a device (RFC 8628, section 3.3)."""
    inputs = _text_input("user_code", "Code on the device", user_code) + _text_input("username", "User name", "")
    buttons = _BUTTONS.format(action="approve", label="Approve")
    return _page("Connect a device", f'<form method="post" action="/device">\n{inputs}\n{buttons}\n</form>')


def form_post_page(redirect_uri: str, parameters: Mapping[str, str]) -> str:
    """A form that sends itself to the client (OAuth 2.0 Form Post Response Mode)."""
    button = '<button type="submit">Continue</button>'
    form = f'<form method="post" action="{escape(redirect_uri)}">\n{_hidden(parameters)}\n{button}\n</form>'
    return _page("Signed in", form + "\n<script>document.forms[0].submit()</script>")


def message_page(title: str, message: str) -> str:
    return _page(title, f"<p>{escape(message)}</p>")


def _page(title: str, content: str) -> str:
    return _FRAME.format(title=escape(title), content=content)


def _hidden(parameters: Mapping[str, str]) -> str:
    fields = parameters.items()
    return "\n".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields)


def _text_input(name: str, label: str, value: str) -> str:
    return f'\n<label>{label}<input type="text" name="{name}" value="{escape(value)}" required></label>'
