"""Signs in, refreshes and hits with an installed wheel, and checks that liblmdb came with it, of a good version."""

import sys
import tempfile
from importlib.metadata import files
from pathlib import Path

from warmtoken import PublicClientApplication, TokenCache, _engine
from warmtoken.testing import IdentityProvider, UserAgent


def acquire(directory: str) -> str:
    with IdentityProvider() as provider, TokenCache(f"{directory}/cache", key=bytes(32)) as cache:
        with PublicClientApplication("smoke", authority=provider.issuer, cache=cache) as app:
            app.acquire_token_interactive(["read"], open_browser=UserAgent("alice@example.test"))
            account = app.get_accounts()[0]
            app.acquire_token_silent(["read"], account, force_refresh=True)
            levels = [app.acquire_token_silent(["read"], account).metadata.cache_level for _ in range(2)]
        if levels != ["store", "L1"]:
            raise SystemExit(f"expected the levels store and L1, got {levels}")
    return mapped_lmdb()


def check_lmdb() -> str:
    version = _engine.lmdb_version()
    if (0, 9, 26) <= version <= (0, 9, 31):
        raise SystemExit(f"expected LMDB 0.9.24, 0.9.25, or 0.9.32 or newer, got {version}; build with another")
    if not any(path.name == "LICENSE.lmdb" for path in files("warmtoken") or ()):
        raise SystemExit("expected the licence of LMDB in the wheel")
    return ".".join(map(str, version))


def mapped_lmdb() -> str:
    lines = Path("/proc/self/maps").read_text().splitlines() if sys.platform == "linux" else []
    paths = {line.split()[-1] for line in lines if "liblmdb" in line}
    outside = {path for path in paths if "site-packages" not in path}
    if sys.platform == "linux" and (not paths or outside):
        raise SystemExit(f"expected liblmdb from the wheel, got {outside or 'none'}")
    return ", ".join(sorted(Path(path).name for path in paths))


with tempfile.TemporaryDirectory() as directory:
    library = acquire(directory)
print(f"smoke test passed: Python {sys.version.split()[0]}, LMDB {check_lmdb()} ({library})")
