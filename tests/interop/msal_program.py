"""Runs a program that uses MSAL, with Microsoft Entra scripted: a path. Says at last how many tokens it asked for."""

from __future__ import annotations

import runpy
import sys
import time
from typing import Any
from urllib.parse import parse_qsl

import requests
from requests.adapters import HTTPAdapter
from support.msal_apps import Entra


def main(program: str) -> None:
    entra = Entra(time.time())

    def send(_: HTTPAdapter, request: requests.PreparedRequest, **__: Any) -> requests.Response:
        url = str(request.url)
        found = entra.get(url) if request.method == "GET" else entra.post(url, dict(parse_qsl(str(request.body))))
        response = requests.Response()
        response.status_code, response._content = found.status_code, found.text.encode()
        return response

    HTTPAdapter.send = send  # type: ignore[method-assign, assignment]
    runpy.run_path(program, run_name="__main__")
    print(f"tokens asked for: {len(entra.forms)}")


if __name__ == "__main__":
    main(sys.argv[1])
