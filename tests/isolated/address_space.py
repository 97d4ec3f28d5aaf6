"""One case of a process that may not map much, by name, on a cache in a directory: prints "ok" at its end."""

from __future__ import annotations

import resource
import sys
from mmap import mmap
from pathlib import Path

from support import KEY, error_of, new_tokens, run, secret_of

from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheFullError

MIB = 1 << 20


def leave(size: int) -> None:
    """Let this process map `size` bytes more than it does now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def lift() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def fill(vault: Vault) -> tuple[int, str]:
    """Save tokens of 100 kB until there is no room, and return how many and the code of the error."""
    for count in range(10_000):
        try:
            vault.save(new_tokens("x" * 100_000, user=str(count)))
        except CacheFullError as error:
            return count, error.code
    raise AssertionError("there was room for all")


def a_smaller_map_does(directory: Path) -> None:
    TokenCache(directory.with_name("other"), key=KEY, map_size=MIB).vault().save(new_tokens("warm"))
    leave(200 * MIB)
    vault = TokenCache(directory, key=KEY).vault()
    vault.save(new_tokens("secret"))
    assert secret_of(vault) == "secret"


def no_room_to_grow(directory: Path) -> None:
    vault = TokenCache(directory, key=KEY, map_size=MIB).vault()
    vault.save(new_tokens("secret"))
    leave(24 * MIB)
    count, code = fill(vault)
    assert count > 5
    assert code == "no_address_space", code
    mmap(-1, 4 * MIB).close()  # the map leaves room to the rest of the process
    assert secret_of(vault) == "secret"
    assert len(secret_of(vault, user=str(count - 1)) or "") == 100_000
    vault.remove_account(new_tokens("", user="0").slot.owner)
    vault.save(new_tokens("small", user="0"))
    assert secret_of(vault, user="0") == "small"
    lift()
    vault.save(new_tokens("x" * 10_000_000, user="large"))
    assert len(secret_of(vault, user="large") or "") == 10_000_000


def another_process_grows_beyond(directory: Path) -> None:
    vault = TokenCache(directory, key=KEY, map_size=MIB).vault()
    vault.save(new_tokens("secret"))
    run("fill_cache.py", directory, 60)
    leave(24 * MIB)
    for use in (lambda: secret_of(vault), lambda: vault.save(new_tokens("new")), lambda: secret_of(vault)):
        assert error_of(use).code == "no_address_space"
    lift()
    assert secret_of(vault) == "secret"
    vault.save(new_tokens("new"))
    assert secret_of(vault) == "new"


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
    print("ok")
