# SPDX-License-Identifier: Apache-2.0
"""Constants of the interface."""
import math

#: Bits per coordinate of a scalar codebook.
SUPPORTED_BITS = frozenset({1, 2, 3, 4})
#: Bits per coordinate of the inner-product quantizer, its sign bit included.
DEFAULT_TOTAL_BITS = 3
#: Seed of the random rotations.
DEFAULT_SEED = 42
#: E|z| scaled away: sqrt(pi/2) turns the sign of a Gaussian projection into an unbiased estimate
#: (arXiv 2504.19874, Definition 1).
QJL_COEFF = math.sqrt(math.pi / 2)
