"""`python -m edgekit.cli` is `edgekit`."""

import sys

from edgekit.cli.entry import main

sys.exit(main())
