"""`python -m offload` is the `offload` command."""

import sys

from offload.cli.main import main

sys.exit(main())
