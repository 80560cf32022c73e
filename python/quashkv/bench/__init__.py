# SPDX-License-Identifier: Apache-2.0
"""The benchmarks behind `quashkv bench`: each module has `add_arguments` and `run`, which returns a
Report."""
