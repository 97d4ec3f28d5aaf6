#!/usr/bin/env bash
# Runs the tests with an extension that was built with AddressSanitizer and UBSan. Fails where a test fails, and where any
# process, also one that a test kills, wrote a report that concerns the extension or liblmdb.
# Usage: scripts/sanitize.sh VENV [PYTEST_ARGUMENT...]   (make sanitize builds the environment first)
set -euo pipefail

# Tests that mean nothing in a process that is several times as slow or as large as it should be; one reason for each.
LEFT_OUT=(
    # The demo counts what happened in eight seconds, and needs two expiries within them.
    tests/demo/test_show.py::test_the_demo_shows_that_refreshes_are_as_many_as_expiries
    # Pages damaged on purpose, which liblmdb takes as they are: it reads past them in child processes that may well die
    # of it, and each would leave a report. What the test looks for, a wrong token, no sanitizer sees.
    tests/faults/test_mutated_files.py
)

venv=$(realpath "$1")
shift

main() {
    local status=0
    reports=$(mktemp -d)
    trap 'rm -rf "$reports"' EXIT
    check_instrumented
    # Objects of Python come from malloc one by one, so that each has its red zones. Reports go to files: a child that dies
    # of one may be a child that the test expects to die. Leaks end no process: interpreters and git leak as they please,
    # what counts is in the files.
    export PATH="$venv/bin:$PATH" PYTHONMALLOC=malloc LD_PRELOAD
    LD_PRELOAD=$("${CC:-gcc}" -print-file-name=libasan.so)
    export ASAN_OPTIONS="abort_on_error=1:exitcode=0:detect_stack_use_after_return=1:strict_string_checks=1"
    # What the dynamic linker frees of a thread's variables the leak check would still read, and crash of it at exit.
    ASAN_OPTIONS+=":intercept_tls_get_addr=0:log_path=$reports/report"
    export LSAN_OPTIONS="suppressions=$PWD/scripts/lsan.supp:print_suppressions=0"
    export UBSAN_OPTIONS="print_stacktrace=1:abort_on_error=1:log_path=$reports/report"
    if ! "$venv/bin/python" -c "" 2>/dev/null; then
        echo "leaks are not looked for: processes of this host may not be traced, not even by themselves" >&2
        ASAN_OPTIONS+=":detect_leaks=0"
    fi
    "$venv/bin/python" -m pytest "${LEFT_OUT[@]/#/--deselect=}" "$@" || status=$?
    unset LD_PRELOAD
    "$venv/bin/python" scripts/sanitizer_reports.py "$reports" || status=1
    return "$status"
}

check_instrumented() {
    local extension symbol
    extension=$("$venv/bin/python" -c "import importlib.util as u; print(u.find_spec('warmtoken').submodule_search_locations[0])")
    for symbol in __asan_report_load8 __ubsan_handle_; do
        nm -D "$extension"/_engine*.so | grep -q "$symbol" ||
            { echo "expected an extension built with sanitizers, found no $symbol in it; run make sanitize" >&2; exit 1; }
    done
}

main "$@"
