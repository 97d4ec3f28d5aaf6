"""Feeds mutated MSAL caches to the importer, guided by coverage: `make fuzz FUZZ_FLAGS=-runs=1000000`.

An input is imported into a cache in a file system in memory. It may be taken, or refused with one of the documented
codes and nothing written; anything else ends the run, and the input is left in crash-…. Arguments go to libFuzzer.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["warmtoken.interop", "warmtoken.cache.extended_key"]):
    from warmtoken.interop import msal_export, msal_import

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.msal_hostile import FIELDS
from support.msal_texts import DIALECTS, NOW, access, text_of

from warmtoken import ClientError, TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.interop.msal_reasons import KNOWN_REASONS
from warmtoken.interop.msal_report import ImportReport
from warmtoken.testing import Clock

CODES = {"msal_cache_not_json", "msal_cache_unknown_schema", "msal_cache_too_large"}
PER_CACHE = 5_000  # executions, so that no cache grows without end
MEMORY = "/dev/shm"
VALUES: list[Any] = [
    None, "", 0, -1, 1e300, [], {}, {"a": "b"}, "x" * 70_000, "common", "adfs", "a.b-c_d", "\x00", "é", "id.example", "https://id.example/a",
    "[::1]", "1", str(NOW), str(NOW + 3600), "9" * 40,
]  # fmt: skip
WORDS = [
    "AccessToken",
    "expires_on",
    "ext",
    "ext_cache_key",
    "common",
    "adfs",
    "family_id",
    "user_assertion_hash",
    ",}",
]


class Target:
    """What is called with each input."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clock = Clock()
        self._clock.step_wall(NOW + 0.5 - self._clock.time())
        self._count = self.taken = 0
        self._cache = self._new_cache()

    def _new_cache(self) -> TokenCache:
        path = self._directory / f"cache-{self._count // PER_CACHE}"
        return TokenCache(path, allow_unencrypted=True, clock=self._clock, map_size=1 << 24)

    def __call__(self, data: bytes) -> None:
        self._count += 1
        if self._count % PER_CACHE == 0:
            self._cache.close()
            self._cache = self._new_cache()
        vault = self._cache.vault()
        before = vault.newest
        outcome = imported_or_code(vault, data)
        if isinstance(outcome, str):
            assert (outcome in CODES, vault.newest) == (True, before), outcome
            return
        self.taken += 1
        assert all(entry.reason in KNOWN_REASONS for entry in outcome.skipped)
        if self._count % 100 == 0:
            json.loads(msal_export.export_from(vault, "dotnet", NOW))


def imported_or_code(vault: Vault, data: bytes) -> ImportReport | str:
    """Import a text and return the report, or the code with which it was refused."""
    try:
        return msal_import.import_into(vault, data, NOW)
    except ClientError as error:
        return error.code


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Return an input with bytes changed, or with fields of entries replaced where it is JSON."""
    chance = random.Random(seed)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return atheris.Mutate(data, max_size)
    sections = [found for found in document.values() if isinstance(found, dict)] if isinstance(document, dict) else []
    entries = [entry for section in sections for entry in section.values() if isinstance(entry, dict)]
    if not entries or chance.random() < 0.4:
        return atheris.Mutate(data, max_size)
    for _ in range(chance.randint(1, 3)):
        donor, entry = chance.choice(entries), chance.choice(entries)
        name = chance.choice(FIELDS)
        entry[name] = chance.choice([donor.get(name), donor.get(chance.choice(FIELDS)), chance.choice(VALUES)])
    chance.choice(sections)[str(seed % 8)] = dict(chance.choice(entries))
    return json.dumps(document).encode()[:max_size]


def seeds(directory: Path) -> None:
    """Write the inputs to begin with."""
    texts: dict[str, str] = {name: json.dumps(dialect()) for name, dialect in DIALECTS.items()}
    texts["small"] = text_of(AccessToken=[access()])
    texts["v2"] = json.dumps([{"Key": "access_tokens", "Value": [json.dumps(access())]}])
    for name, text in texts.items():
        (directory / name).write_text(text)


def main(arguments: list[str]) -> None:
    """Run until libFuzzer has done what its arguments say."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        corpus, caches = Path(made) / "corpus", Path(made) / "caches"
        corpus.mkdir()
        caches.mkdir()
        seeds(corpus)
        (Path(made) / "words").write_text("".join(f'"{word}"\n' for word in WORDS))
        target: Any = Target(caches)
        given = [sys.argv[0], *arguments, f"-dict={made}/words", str(corpus)]
        atheris.Setup(given, target, custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
