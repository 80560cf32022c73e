# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour search on compressed vectors."""
from .index import QuashIndex

__all__ = ["QuashIndex"]
