"""`python -m warmtoken`: the same as the command `warmtoken`."""

import sys

from warmtoken.cli import main

if __name__ == "__main__":
    sys.exit(main())
