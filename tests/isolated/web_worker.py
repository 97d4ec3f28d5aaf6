"""One worker process of a web site: each line that it reads is a request, each that it prints the answer, as JSON.

Arguments: the issuer, and the directory of the cache.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from support import KEY

from warmtoken import ClientSecret, ConfidentialClientApplication, TokenCache

SCOPES = ["orders.read"]


def begin(app: ConfidentialClientApplication, redirect_uri: str) -> Any:
    return app.initiate_auth_code_flow(SCOPES, redirect_uri)


def finish(app: ConfidentialClientApplication, flow: dict[str, Any], params: dict[str, str]) -> list[str]:
    result = app.acquire_token_by_auth_code_flow(flow, params)
    assert result.account is not None
    return [result.account.home_account_id, result.access_token]


def serve(app: ConfidentialClientApplication, home_account_id: str) -> list[str]:
    result = app.acquire_token_silent(SCOPES, app.get_account(home_account_id))
    return [result.metadata.token_source, result.access_token]


ANSWERS: dict[str, Callable[..., Any]] = {"begin": begin, "finish": finish, "serve": serve}


def main(issuer: str, directory: str) -> None:
    with TokenCache(directory, key=KEY) as cache:
        app = ConfidentialClientApplication(
            "service", credential=ClientSecret("service-secret"), authority=issuer, cache=cache
        )
        for line in sys.stdin:
            what, *arguments = json.loads(line)
            print(json.dumps(ANSWERS[what](app, *arguments)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
