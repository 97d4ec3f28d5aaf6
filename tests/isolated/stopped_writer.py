"""Under the preload shim: writes a token to a directory, with a number, and stops itself in the middle of the commit.

Prints "written" once it was continued and the write has returned.
"""

from __future__ import annotations

import sys
from pathlib import Path

from isolated import shim
from isolated.oracle import secret
from isolated.support import new_tokens, open_vault

vault = open_vault(Path(sys.argv[1]))
shim.arm(shim.STOP_BEFORE, shim.SYNC)
number = int(sys.argv[2])
vault.save(new_tokens(secret(number), user="stopped", refresh=secret(number)))
print("written")
