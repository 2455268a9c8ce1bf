"""`python -m bench.cache`: hits beside forwarded calls, and the hit rate of the standard load."""

import sys

from bench.__main__ import main

sys.argv[1:1] = ["--only", "cache"]
sys.exit(main())
