"""`python -m benchmarks` is `convpolicy bench`, in the source tree."""

from __future__ import annotations

import sys

from convpolicy.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench"]
    main()
