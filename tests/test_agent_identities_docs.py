"""The examples of docs/agent-identities.md, run against a scripted Microsoft Entra."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from support.microsoft import Microsoft

from warmtoken import TokenCache
from warmtoken.testing import Clock

PAGE = (Path(__file__).parents[1] / "docs" / "agent-identities.md").read_text()
EXAMPLES = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
TENANT = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
USER = "0f4880d8-1111-4c40-97bc-f7a23c703084"


def test_an_agent_gets_tokens_for_itself_and_for_its_user_and_then_sends_nothing(tmp_path: Path) -> None:
    clock = Clock()
    claims = {"aud": "agent-id", "oid": USER, "tid": TENANT}
    issuer = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    service = Microsoft(clock, issuer, claims, {"uid": USER, "utid": TENANT})
    names: dict[str, Any] = {
        "service": service,
        "new_cache": lambda: TokenCache(tmp_path / "cache", key=bytes(32), clock=clock),
    }
    here = EXAMPLES.replace("your-tenant", TENANT).replace("TokenCache()", "new_cache()")
    here = here.replace("cache=cache", "cache=cache, transport=service")
    exec(compile(here, "docs/agent-identities.md", "exec"), names)

    def tokens() -> list[str]:
        return [
            names["as_itself"](["https://graph.microsoft.com/.default"]).access_token,
            names["as_its_user"](["Mail.Read"], USER).access_token,
        ]

    first = tokens()
    assert len(service.urls()) == 4  # the agent's credential, two tokens of its own, its user's
    assert [tokens() for _ in range(2)] == [first] * 2
    assert service.urls() == []
    clock.advance(3600)
    assert not set(tokens()) & set(first)
    assert service.form()["grant_type"] == "refresh_token"
