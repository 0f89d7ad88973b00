"""`python -m conetheory`, the same as `conetheory`."""

import sys

from conetheory.cli import main

sys.exit(main())
