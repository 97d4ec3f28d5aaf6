"""Fork while another thread is importing what its first call needs; prints how the child ended, 0 or a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from support import KEY

from warmtoken import ClientSecret, ConfidentialClientApplication, TokenCache, TransportError

SLOW = "warmtoken.flows.client_credentials"
PATIENCE = 30  # seconds that the child has
importing, forking = threading.Event(), threading.Event()


class SlowImport:
    """Finds no module, and holds up the import of one until the process is about to fork."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: object = None) -> ModuleSpec | None:
        if name == SLOW and not importing.is_set():
            importing.set()
            forking.wait()
            time.sleep(0.05)  # so that a fork that waits for nobody is over
        return None


def main(directory: Path) -> int:
    app = ConfidentialClientApplication(
        "service", credential=ClientSecret("s"), authority="https://127.0.0.1:1", cache=TokenCache(directory, key=KEY)
    )

    def call() -> None:
        with contextlib.suppress(TransportError):  # nobody listens there
            app.acquire_token_for_client(["a"])

    sys.meta_path.insert(0, SlowImport())  # type: ignore[arg-type]
    thread = threading.Thread(target=call)
    thread.start()
    importing.wait()
    os.register_at_fork(before=forking.set)  # which is called before those that were registered earlier
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        call()
        os._exit(0)
    thread.join()
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which is what this is about
    print(main(Path(sys.argv[1])))
