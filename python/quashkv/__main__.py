# SPDX-License-Identifier: Apache-2.0
"""python -m quashkv: the same as the command `quashkv`."""
import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
