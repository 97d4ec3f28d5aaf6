"""Runs MSAL Python's own tests of its cache and its applications twice, with its cache classes and with ours.

Fetches the source distribution with pip, which is the one place that it is taken from. Prints each test whose outcome
differs and the outcomes' numbers; exits with 1 where one differs or none was run. All else is canned: no network.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "msal-suite"
VERSION = "1.39.0"
TESTS = ("token_cache", "application", "mi", "account_source", "ccs", "throttled_http_client")

Outcomes = dict[str, str]


def main() -> int:
    """Run both and print the difference."""
    prepare(fetch())
    own, ours = outcomes("msal"), outcomes("warmtoken")
    differing = difference(own, ours)
    if differing:  # some compare times in whole seconds, one of which may end between two of their lines
        own.update(outcomes("msal", *differing))
        ours.update(outcomes("warmtoken", *differing))
        differing = difference(own, ours)
    for name in differing:
        print(f"{name}\n    MSAL's cache:  {own.get(name)}\n    warmtoken's:   {ours.get(name)}")
    print(f"MSAL Python {VERSION}, its own cache: {_counts(own)}")
    print(f"MSAL Python {VERSION}, warmtoken's:   {_counts(ours)}")
    print(f"difference: {len(differing) or 'none'}")
    return 1 if differing or not own else 0


def difference(own: Outcomes, ours: Outcomes) -> list[str]:
    """Return the names of the tests whose outcomes differ."""
    return sorted(name for name in own.keys() | ours.keys() if _word(own.get(name)) != _word(ours.get(name)))


def fetch() -> Path:
    """Return the source distribution, downloaded if it is not here yet."""
    found = BUILD / f"msal-{VERSION}.tar.gz"
    if not found.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps"]
        subprocess.run([*pip, "--dest", str(BUILD), f"msal=={VERSION}"], check=True)
    return found


def prepare(archive: Path) -> None:
    """Put MSAL's tests beside the helpers that they import."""
    target = BUILD / "tests"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HERE / "tests", target)
    with tarfile.open(archive) as source:
        for name in TESTS:
            content = source.extractfile(f"msal-{VERSION}/tests/test_{name}.py")
            assert content is not None
            (target / f"test_{name}.py").write_bytes(content.read())


def outcomes(whose: str, *names: str) -> Outcomes:
    """Run the tests, or those that are named, in an interpreter of its own."""
    run = [sys.executable, str(HERE / "run.py"), str(BUILD), whose, *names]
    with (BUILD / f"{whose}.log").open("a" if names else "w") as log:
        printed = subprocess.run(run, stdout=subprocess.PIPE, stderr=log, check=True, text=True).stdout
    found = json.loads(printed)
    assert found["msal"] == VERSION, f"expected msal {VERSION}, got {found['msal']}; install it"
    by_test: Outcomes = found["outcomes"]
    return by_test


def _word(outcome: str | None) -> str:
    return (outcome or "not run").partition(":")[0]


def _counts(found: Outcomes) -> str:
    counts = Counter(map(_word, found.values()))
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
