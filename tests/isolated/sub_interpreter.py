"""Imports warmtoken in a sub-interpreter of this process, and prints what came of it."""

try:
    import _interpreters as interpreters
except ImportError:  # before CPython 3.13
    import _xxsubinterpreters as interpreters
import sys

SCRIPT = f"""
import sys
sys.path[:] = {sys.path!r}
try:
    import warmtoken
except ImportError as error:
    print("refused:", error, flush=True)
else:
    print("imported", flush=True)
"""

# One that shares the interpreter's lock, as mod_wsgi makes them.
shared = interpreters.create("legacy") if sys.version_info >= (3, 13) else interpreters.create(isolated=False)
interpreters.run_string(shared, SCRIPT)
