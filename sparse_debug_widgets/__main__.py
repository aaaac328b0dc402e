"""`python -m sparse_debug_widgets`."""

import sys

from sparse_debug_widgets.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
