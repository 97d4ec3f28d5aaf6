#!/usr/bin/env bash
# Runs tests of the engine, and cases of fork, under valgrind's memcheck. Fails where a test fails, and where memcheck found
# an error, or memory lost for good, with the extension or liblmdb anywhere in its stack.
# Usage: scripts/valgrind.sh VENV [PYTEST_ARGUMENT...]   (make valgrind builds the environment first)
set -euo pipefail

# What means nothing in processes fifty times as slow; one reason for each.
LEFT_OUT=(
    # Its scripts take longer to start than the tests wait; FORKS below are run one by one instead.
    --ignore=tests/engine/test_fork.py
    # Readers and writers in processes of their own: ten million checks are hours, and none of it would be traced.
    --deselect=tests/engine/test_hits.py::test_no_process_serves_what_another_has_replaced_or_removed
    # 1,500 tokens with one scope in common: millions of comparisons that smaller tests of tokens and indexes make too.
    --deselect=tests/engine/test_store.py::test_many_tokens_of_a_user_go_at_once
)
# Cases of tests/isolated/fork_cases.py without many children, and without deadlines for other interpreters to start.
FORKS=(
    child_reads_and_writes
    child_of_a_child
    child_of_an_unused_cache
    slots_stay_when_the_child_lets_go
    hits_of_the_parent_go_stale_in_the_child
    locks_are_not_inherited
)

venv=$(realpath "$1")
shift

main() {
    local status=0
    reports=$(mktemp -d)
    trap 'rm -rf "$reports"' EXIT
    command -v valgrind >/dev/null || install_valgrind
    [ $# -gt 0 ] || set -- tests/engine
    # From malloc one by one, memcheck sees the ends of Python's objects, and CPython's own allocator needs no suppressions.
    export PATH="$venv/bin:$PATH" PYTHONMALLOC=malloc
    memcheck "" -m pytest -o timeout=0 -o faulthandler_timeout=0 "${LEFT_OUT[@]}" "$@" || status=1
    for fork in "${FORKS[@]}"; do
        PYTHONPATH=tests/isolated memcheck --suppressions=scripts/forks.supp tests/isolated/fork_cases.py "$fork" "$(mktemp -d "$reports/cache.XXXX")/it" || status=1
    done
    "$venv/bin/python" scripts/sanitizer_reports.py "$reports" || status=1
    return "$status"
}

# A forked child is traced as well, but no other program that is started. The first argument is one more option, or "".
memcheck() {
    local option=$1
    shift
    valgrind ${option:+"$option"} --quiet --tool=memcheck --num-callers=40 --suppressions=scripts/valgrind.supp \
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        --xml=yes --xml-file="$reports/%p.%n.xml" "$venv/bin/python" "$@"
}

install_valgrind() {
    local as_root=()
    command -v apt-get >/dev/null || { echo "expected valgrind; install it with the system's package manager" >&2; exit 1; }
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind >/dev/null
}

main "$@"
