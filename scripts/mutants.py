"""Takes one rule after the other out of the source, builds that, and sees tests fail.

Arguments: names of rules, or none for all. The rules are those without which processes would hand out stale, foreign or
forged tokens. First the tests run on the source as it is, and must pass. Exits with 1 where a mutant lives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOAK = "tests/faults/test_coherence.py::test_no_process_serves_what_another_has_replaced_or_removed"
CAUGHT = 1  # pytest's exit status where tests failed; 2 and more: they could not run


class Mutant(NamedTuple):
    """A rule: where it stands, what stands there instead, and the tests that hold it."""

    file: str
    rule: str
    instead: str
    tests: str


MUTANTS = {
    "a result is tagged with the snapshot that it was read from": Mutant(
        "ext/reading.pxi",
        "txnid = store._snapshot_id()\n        store._note(txnid)\n        if rc == MDB_SUCCESS:\n            value",
        "txnid = store._newest()\n        store._note(txnid)\n        if rc == MDB_SUCCESS:\n            value",
        SOAK,
    ),
    "both meta pages are looked at": Mutant(
        "ext/store.pxi", "return first if first > second else second", "return first", SOAK
    ),
    "nonce and tag are compared": Mutant(
        "ext/witnesses.pxi", "return memcmp(seal, witness.seal, sizeof(seal)) == 0", "return True", SOAK
    ),
    "what was there must still be there": Mutant(
        "ext/witnesses.pxi", "return rc == MDB_NOTFOUND and not witness.present", "return rc == MDB_NOTFOUND", SOAK
    ),
    "an absence holds for one transaction only": Mutant(
        "ext/hits.pxi",
        "if hit.witnesses is not None and _still_true(self.hits.store, hit):",
        "if hit.witnesses is None or _still_true(self.hits.store, hit):",
        SOAK,
    ),
    "an unseen commit is healed": Mutant(
        "ext/store.pxi", "self.lag_reads += 1", "self.lag_reads = 1", "tests/faults/test_kills.py tests/cache"
    ),
    "the growing map leaves room to the process": Mutant(
        "ext/room.pxi", "wanted = step + max(step, LEFT_TO_THE_PROCESS)", "wanted = step", "tests/cache/test_room.py"
    ),
    "a token for a path serves that path alone": Mutant(
        "src/warmtoken/flows/requests.py",
        "FMI_PATH: fmi_path}",
        "FMI_PATH: None}",
        "tests/flows/test_agent_identities.py",
    ),
    "an agent's user is the one that was named": Mutant(
        "src/warmtoken/flows/replies.py",
        'str(claims.get("oid") or "").lower() != asked.object_id.lower()',
        "False",
        "tests/flows/test_agent_identities.py",
    ),
    "a fork waits for what other threads import": Mutant(
        "src/warmtoken/imports.py",
        "return bool(owners - {None, threading.get_ident()})",
        "return False",
        "tests/engine/test_fork.py",
    ),
    "memory forgets a miss when a sign-in could not be written": Mutant(
        "src/warmtoken/cache/shared_store.py", "hits.forget_absences()", "pass", "tests/flows/test_silent.py"
    ),
    "a child opens the file anew": Mutant(
        "ext/store.pxi",
        "if self.env != NULL and self.forks == wt_fork_count():\n                return 0",
        "if self.env != NULL:\n                return 0",
        "tests/engine/test_fork.py",
    ),
    "a snapshot has the roots of its own transaction": Mutant(
        "ext/readers.pxi",
        "    if store.borrowed or store.meta == NULL:\n        return True\n    return wt_load_last",
        "    return True or wt_load_last",
        "tests/engine/test_store.py",
    ),
    "a record is bound to its lookup key": Mutant(
        "ext/sealing.pxi",
        "memcpy(at + NONCE_AT + rest + FILE_ID_SIZE, key, key_size)",
        "memset(at + NONCE_AT + rest + FILE_ID_SIZE, 0, key_size)",
        "tests/cache/test_sealing.py tests/cache/test_vault.py",
    ),
    "a record is bound to its file": Mutant(
        "ext/sealing.pxi",
        "memcpy(at + NONCE_AT + rest, PyBytes_AS_STRING(file_id), FILE_ID_SIZE)",
        "memset(at + NONCE_AT + rest, 0, FILE_ID_SIZE)",
        "tests/cache/test_sealing.py tests/cache/test_vault.py",
    ),
    "a refresh token is replaced only where it is still the one redeemed": Mutant(
        "ext/writing.pxi",
        "if ops[i].kind == OP_EXPECT and not _as_expected(writer, &ops[i]):",
        "if False and not _as_expected(writer, &ops[i]):",
        "tests/engine/test_store.py tests/cache/test_vault.py",
    ),
    "a result is kept for the scopes that were asked for": Mutant(
        "src/warmtoken/core.py",
        "return tuple(scopes) if isinstance(scopes, list) else scopes",
        "return scopes",
        "tests/flows/test_silent.py tests/flows/test_client_credentials.py",
    ),
    "a record is written into the file that it was sealed for": Mutant(
        "src/warmtoken/cache/live_sealer.py",
        "if file_id != self._file_id:",
        "if False:",
        "tests/engine/test_fork.py",
    ),
    "the gate is open when the last thread has left": Mutant(
        "src/warmtoken/cache/byte_locks.py",
        "            if not inside:\n",
        "            if True:\n",
        "tests/cache/test_byte_locks.py",
    ),
    "a writer looks after LMDB's lock file": Mutant(
        "src/warmtoken/cache/shared_store.py",
        "if self.store.has_lost_its_lock_file:",
        "if False:",
        "tests/cache/test_replaced_file.py",
    ),
    "the lock is that of the refresh token that is sent": Mutant(
        "src/warmtoken/flows/silent.py",
        "return context.vault.keys.refresh_token(owner, self.family_id)",
        "return context.vault.keys.refresh_token(owner)",
        "tests/flows/test_family.py",
    ),
    "what is kept in memory is of requests without client claims": Mutant(
        "src/warmtoken/core.py",
        "if client_claims is not None or not",
        "if client_claims == '' or not",
        "tests/flows/test_silent.py",
    ),
    "a request with client claims is no plain one": Mutant(
        "src/warmtoken/core.py",
        "is_plain and client_claims is None and",
        "is_plain and",
        "tests/flows/test_silent.py",
    ),
    "what an exchange brings is an access token": Mutant(
        "src/warmtoken/protocol/token_exchange.py",
        "issued is not None and issued not in _USABLE",
        "issued in _USABLE and False",
        "tests/protocol/test_token_exchange.py tests/flows/test_token_exchange.py",
    ),
    "a token keeps the client claims that it was made with": Mutant(
        "src/warmtoken/flows/replies.py",
        "return context.slot(user, issuing, asked.extended_key)",
        "return context.slot(user, issuing)",
        "tests/flows/test_silent.py tests/flows/test_client_credentials.py",
    ),
    "what MSAL found in memory holds for one transaction": Mutant(
        "src/warmtoken/interop/msal_memory.py",
        " or state.txnid != vault.newest:",
        ":",
        "tests/interop/test_msal_cache.py",
    ),
    "a bound token serves no request of MSAL that does not name what binds it": Mutant(
        "src/warmtoken/interop/msal_queries.py",
        'if "ext_cache_key" in entry and "ext_cache_key" not in self.fields:',
        "if False:",
        "tests/interop/test_msal_cache.py",
    ),
    "the realm common of MSAL is the user's home tenant": Mutant(
        "src/warmtoken/interop/msal_records.py",
        "return home_tenant if realm.lower() in TENANTLESS and dot else realm",
        "return realm",
        "tests/interop/test_msal_applications.py",
    ),
    "a token that an API refused is not served": Mutant(
        "src/warmtoken/flows/search.py",
        "if found is None or self.request.refuses(found.secret):",
        "if found is None:",
        "tests/flows/test_silent.py tests/flows/test_client_credentials.py",
    ),
    "a web site's redirect answers the sign-in of the session": Mutant(
        "src/warmtoken/flows/auth_code_flow.py",
        '    kept.check_state(brought.get("state", ""))\n',
        "",
        "tests/flows/test_auth_code_flow.py",
    ),
    "a code goes to the provider that the user was sent to": Mutant(
        "src/warmtoken/flows/auth_code_flow.py",
        "(self.client_id, self.authority) != (context.client.client_id, context.authority.url)",
        "self.client_id != context.client.client_id",
        "tests/flows/test_auth_code_flow.py",
    ),
    "a sign-in at a web site ends after an hour": Mutant(
        "src/warmtoken/flows/auth_code_flow.py",
        "    kept.check_age(context.now())\n",
        "",
        "tests/flows/test_auth_code_flow.py",
    ),
    "a redirect brings each parameter once": Mutant(
        "src/warmtoken/flows/auth_code_flow.py",
        "if len(brought) != len(pairs):",
        "if False:",
        "tests/flows/test_auth_code_flow.py",
    ),
    "the id token is of this sign-in": Mutant(
        "src/warmtoken/flows/replies.py",
        "nonce=asked.nonce,",
        "nonce=None,",
        "tests/flows/test_auth_code_flow.py tests/flows/test_authorization_code.py",
    ),
    "a user who signed in too long ago is refused": Mutant(
        "src/warmtoken/flows/replies.py",
        "signed_in_since=asked.signed_in_since,",
        "signed_in_since=None,",
        "tests/flows/test_auth_code_flow.py",
    ),
    "a provider that asks to wait is not asked": Mutant(
        "src/warmtoken/flows/throttling.py",
        "    if found is not None:\n        note, left = found",
        "    if found is not None and False:\n        note, left = found",
        "tests/flows/test_throttling.py",
    ),
    "a note from the future says nothing": Mutant(
        "src/warmtoken/cache/notes.py",
        "found[1].noted_ms <= now < found[0]",
        "now < found[0]",
        "tests/cache/test_notes.py tests/flows/test_throttling.py",
    ),
    "an expired token is not served while the provider fails": Mutant(
        "src/warmtoken/flows/search.py", "is_usable(found, now, 0.0)", "True", "tests/flows/test_throttling.py"
    ),
    "one process refreshes ahead of time": Mutant(
        "src/warmtoken/flows/single_flight.py",
        "    if not vault.shared.locks.try_lock(offset):\n        return None",
        "    vault.shared.locks.try_lock(offset)",
        "tests/flows/test_by_hand.py",
    ),
    "a refresh ahead of time is looked for behind the lock": Mutant(
        "src/warmtoken/flows/single_flight.py",
        "return found if found is not None else (yield from wanted.fetch())",
        "return (yield from wanted.fetch())",
        "tests/flows/test_by_hand.py",
    ),
    "what other threads begin while an application is closed is waited for": Mutant(
        "src/warmtoken/application.py",
        "            finish(own)  # what other threads",
        "            # what other threads",
        "tests/flows/test_single_flight.py",
    ),
    "tokens that name nobody are not those of a user that is named": Mutant(
        "src/warmtoken/flows/replies.py",
        "return asked.object_id is not None and str(",
        "return asked.object_id is not None and claims != {} and str(",
        "tests/flows/test_agent_identities.py",
    ),
    "what is said of one credential is not told to who has another": Mutant(
        "src/warmtoken/flows/search.py",
        "return (search.context.client, wanted,",
        "return (wanted,",
        "tests/flows/test_single_flight.py",
    ),
    "what took ten seconds is not sent again": Mutant(
        "src/warmtoken/flows/sending.py",
        "if _is_passing(first) and time.monotonic() - began < RETRIED_WITHIN:",
        "if _is_passing(first):",
        "tests/flows/test_sending.py",
    ),
    "tokens of a managed identity come by plain http from this host and its link alone": Mutant(
        "src/warmtoken/protocol/managed_identity.py",
        'return parts.scheme == "http" and ipaddress.IPv4Address(parts.hostname or "").is_link_local',
        'return parts.scheme == "http"',
        "tests/protocol/test_managed_identity.py",
    ),
    "applications of one host do not share the tokens of their system-assigned identities": Mutant(
        "src/warmtoken/flows/managed_identity.py",
        "return extended_key({ENDPOINT: fingerprint} if fingerprint else {})",
        "return extended_key({})",
        "tests/flows/test_managed_identity.py",
    ),
    "what a program's own token provider returns can stand in a header": Mutant(
        "src/warmtoken/protocol/provided_token.py",
        "if not is_access_token(returned.access_token):",
        "if not returned.access_token:",
        "tests/flows/test_token_provider.py",
    ),
    "what a program's own token provider raises is not repeated": Mutant(
        "src/warmtoken/flows/app_token_provider.py",
        "but it raised {type(error).__name__}; ",
        "but it raised {error!r}; ",
        "tests/flows/test_token_provider.py",
    ),
    "a client whose program gets its tokens elsewhere has nothing to show to the authority": Mutant(
        "src/warmtoken/flows/metadata.py",
        "    context.check_credential()\n",
        "",
        "tests/flows/test_token_provider.py",
    ),
    "a counter of OpenTelemetry goes on where what counts it begins anew": Mutant(
        "src/warmtoken/opentelemetry/caches.py",
        "self._before, self._last = self._before + self._last, 0",
        "self._last = 0",
        "tests/test_opentelemetry.py",
    ),
    "who collects figures keeps no cache alive": Mutant(
        "src/warmtoken/opentelemetry/caches.py",
        "self._cache = weakref.ref(cache)",
        "self._cache = lambda: cache",
        "tests/test_opentelemetry.py",
    ),
    "the path of a request, which may name a tenant, is not published": Mutant(
        "src/warmtoken/opentelemetry/requests.py",
        '"server.address": url.hostname or "",',
        '"server.address": url.netloc + url.path,',
        "tests/test_opentelemetry.py",
    ),
    "nor do processes whose environments name different identities": Mutant(
        "src/warmtoken/protocol/managed_identity.py",
        "{self.secret}\\0{self.client_id}",
        "{self.secret}",
        "tests/flows/test_managed_identity.py",
    ),
    "a lock is let go of when the commit under it has ended, however often the task is cancelled": Mutant(
        "src/warmtoken/flows/async_driver.py",
        "        with contextlib.suppress(asyncio.CancelledError):\n            await asyncio.wait([thread])",
        "        await asyncio.wait([thread])",
        "tests/flows/test_driver.py",
    ),
    "an event loop that ends does not cancel what waits for a commit": Mutant(
        "src/warmtoken/flows/async_driver.py",
        "asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, function)",
        "asyncio.ensure_future(asyncio.to_thread(function))",
        "tests/flows/test_driver.py",
    ),
    "Service Fabric is believed by its thumbprint": Mutant(
        "src/warmtoken/pinned_tls.py",
        "if not hmac.compare_digest(came, context.thumbprint):",
        "if not came:",
        "tests/test_pinned_tls.py",
    ),
    "Azure Arc does not choose which file is read": Mutant(
        "src/warmtoken/protocol/azure_arc.py",
        "if directory != KEYS or not _NAME.fullmatch(name):",
        "if not match:",
        "tests/flows/test_azure_arc.py",
    ),
    "no proxy sees the tokens of a managed identity": Mutant(
        "src/warmtoken/direct_transport.py",
        "_uses_proxies = False",
        "_uses_proxies = True",
        "tests/flows/test_managed_identity_endpoints.py",
    ),
    "an imported token that is bound by a hash alone serves no plain request": Mutant(
        "src/warmtoken/interop/msal_bindings.py",
        "if value and value != known:",
        "if False:",
        "tests/interop/test_msal_import.py tests/interop/test_msal_entries.py",
    ),
    "an imported refresh token that is bound is not the user's own": Mutant(
        "src/warmtoken/interop/msal_import.py",
        "        if binding:\n",
        "        if False:\n",
        "tests/interop/test_msal_import.py",
    ),
    "a redirect names no host that gets a code": Mutant(
        "src/warmtoken/flows/authorization_code.py",
        "if cloud_name(named.lower()) is None:",
        "if False:",
        "tests/flows/test_multi_cloud.py",
    ),
    "a user of another cloud is served by that one": Mutant(
        "src/warmtoken/flows/silent.py",
        "    context = context.at(account.environment)\n",
        "",
        "tests/flows/test_multi_cloud.py",
    ),
    "one id in two clouds is two users, in memory too": Mutant(
        "ext/hits.pxi",
        " and _same_text(first.environment, second.environment)",
        "",
        "tests/flows/test_multi_cloud.py",
    ),
    "two subjects that differ in case are two users": Mutant(
        "src/warmtoken/cache/lookup_keys.py",
        'return "://" in authority and "/tfp/" not in authority',
        "return False",
        "tests/flows/test_accounts.py",
    ),
    "who signs in for an account is of its cloud": Mutant(
        "src/warmtoken/flows/replies.py",
        "if not asked.authority.issues_for(known.environment):",
        "if False:",
        "tests/flows/test_multi_cloud.py",
    ),
    "what was got on behalf of a user lies apart": Mutant(
        "src/warmtoken/cache/lookup_keys.py",
        "        if session:  #",
        "        if session and user is None:  #",
        "tests/cache/test_lookup_keys.py tests/flows/test_on_behalf_of.py",
    ),
    "a token says of which session it is": Mutant(
        "src/warmtoken/flows/session_search.py",
        "components_of(request.extended_key) | {USER_ASSERTION: session}",
        "components_of(request.extended_key)",
        "tests/flows/test_long_running.py",
    ),
    "in memory each session and each path has results of its own": Mutant(
        "src/warmtoken/confidential_client.py",
        'f"{len(name)}:{name}{tenant}"',
        'f"{name}{tenant}"',
        "tests/flows/test_agent_identities.py tests/flows/test_long_running.py tests/flows/test_on_behalf_of.py",
    ),
    "the refresh token of an ordinary call on behalf of a user is discarded": Mutant(
        "src/warmtoken/flows/on_behalf_of.py",
        "replace(reply, refresh_token=None)",
        "reply",
        "tests/flows/test_on_behalf_of.py",
    ),
    "a removed account takes its sessions along": Mutant(
        "src/warmtoken/cache/vault.py",
        "operations + removal_of_sessions(self, owner)",
        "operations",
        "tests/flows/test_on_behalf_of.py",
    ),
    "what memory has on behalf of a user ends with the account": Mutant(
        "src/warmtoken/flows/session_search.py",
        "found.witnesses.also(_engine.ACCOUNT, key, sealed)",
        "pass",
        "tests/flows/test_on_behalf_of.py",
    ),
    "two users of one key share no answer": Mutant(
        "src/warmtoken/flows/long_running.py",
        'need = ("begin", exchange, search.slot',
        'need = ("begin", search.slot',
        "tests/flows/test_long_running.py",
    ),
    "what a partition's users have lies apart": Mutant(
        "src/warmtoken/flows/context.py",
        'self.client.client_id, home_account_id, "", self.partition)',
        "self.client.client_id, home_account_id)",
        "tests/flows/test_partitions.py",
    ),
    "a partition is part of what most requests look for": Mutant(
        "src/warmtoken/flows/context.py",
        "plain_request(authority, client_id, self.partition, realm, scopes)",
        'plain_request(authority, client_id, "", realm, scopes)',
        "tests/flows/test_partitions.py",
    ),
    "a partition is part of every hash that a listing begins with": Mutant(
        "src/warmtoken/cache/lookup_keys.py",
        "return self._hash((whose[0], owner.authority, whose[1]), owner.partition)",
        "return self._hash((whose[0], owner.authority, whose[1]))",
        "tests/flows/test_partitions.py",
    ),
    "a family's refresh token is one of its partition": Mutant(
        "src/warmtoken/cache/lookup_keys.py",
        'self._clients("family", owner.authority, family_id, owner.partition)',
        'self._clients("family", owner.authority, family_id, "")',
        "tests/flows/test_partitions.py tests/cache/test_lookup_keys.py",
    ),
    "a sign-in is finished in the partition that began it": Mutant(
        "src/warmtoken/flows/auth_code_flow.py",
        "if self.partition != _mark_of(context.partition):",
        "if False:",
        "tests/flows/test_auth_code_flow.py",
    ),
    "parameters are part of the partition": Mutant(
        "src/warmtoken/core.py",
        "self._context.partition = partition_of(partition, pairs)",
        "self._context.partition = partition_of(partition, ())",
        "tests/flows/test_parameters.py",
    ),
    "what tells parameters apart is written so that no two run into each other": Mutant(
        "src/warmtoken/cache/lookup_keys.py",
        'f"{len(text.encode())}:{text}" for text in texts',
        'f"{text}:" for text in texts',
        "tests/cache/test_lookup_keys.py",
    ),
    "what the library sends itself is no parameter": Mutant(
        "src/warmtoken/protocol/parameters.py",
        "instead = _INSTEAD.get(name.lower())",
        "instead = _INSTEAD.get(name)",
        "tests/protocol/test_parameters.py",
    ),
    "who looks through all records is shown no partition": Mutant(
        "src/warmtoken/cache/entries.py",
        "if not is_in_partition(found[1])",
        "if not False",
        "tests/flows/test_partitions.py",
    ),
    "an import looks again at what changed meanwhile": Mutant(
        "src/warmtoken/cache/transfer.py",
        "yield _engine.EXPECT, plan.db, plan.key, plan.head",
        "pass",
        "tests/cache/test_transfer.py tests/interop/test_msal_import.py",
    ),
    "a service without a scope gets no token of any API from the cache": Mutant(
        "src/warmtoken/flows/client_credentials.py",
        "    check_scopes_of_client(authority, request.asked, request.correlation_id)\n",
        "",
        "tests/flows/test_rules.py",
    ),
    "a variable that is no key stays, so that no key file is made instead": Mutant(
        "src/warmtoken/cache/key_sources.py",
        "text = os.environ.get(VARIABLE)",
        "text = os.environ.pop(VARIABLE, None)",
        "tests/cache/test_key_sources.py",
    ),
}


def main(names: list[str]) -> int:
    """Try the mutants of these names, or all; return the exit status."""
    unknown = set(names) - MUTANTS.keys()
    if unknown:
        print(f"expected one of {sorted(MUTANTS)}, got {sorted(unknown)}")
        return 2
    chosen = {name: MUTANTS[name] for name in names or MUTANTS}
    tests = " ".join(dict.fromkeys(" ".join(mutant.tests for mutant in chosen.values()).split()))
    if status := fails(None, tests):
        print(f"expected the tests to pass on the source as it is, got exit status {status}")
        return 1
    living = [name for name, mutant in chosen.items() if not is_caught(name, mutant)]
    print(f"{len(chosen) - len(living)} of {len(chosen)} mutants caught")
    return bool(living)


def is_caught(name: str, mutant: Mutant) -> bool:
    """Tell whether tests fail without the rule."""
    caught = fails(mutant, mutant.tests) == CAUGHT
    print(f"{'caught' if caught else 'LIVES '}  without: {name}", flush=True)
    return caught


def fails(mutant: Mutant | None, tests: str) -> int:
    """Return the exit status of the tests on a copy of the source, mutated or not."""
    with tempfile.TemporaryDirectory() as directory:
        tree, installed = Path(directory, "tree"), Path(directory, "installed")
        copy_source(tree)
        if mutant is not None:
            mutate(tree / mutant.file, mutant)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", installed, "."]
        subprocess.run(install, cwd=tree, check=True)
        environment = os.environ | {"PYTHONPATH": str(installed)}
        pytest = [sys.executable, "-m", "pytest", "--quiet", "--exitfirst", *tests.split()]
        done = subprocess.run(pytest, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode not in (0, CAUGHT) or (done.returncode and mutant is None):
            print(done.stdout[-4_000:], done.stderr[-4_000:])
        return done.returncode


def copy_source(tree: Path) -> None:
    """Copy what git knows, as it is in the work tree."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def mutate(path: Path, mutant: Mutant) -> None:
    """Replace the rule, which must stand there exactly once."""
    text = path.read_text()
    if text.count(mutant.rule) != 1:
        raise SystemExit(f"{mutant.file}: expected once, found {text.count(mutant.rule)} times: {mutant.rule!r}")
    path.write_text(text.replace(mutant.rule, mutant.instead))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
