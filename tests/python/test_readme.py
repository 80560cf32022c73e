# SPDX-License-Identifier: Apache-2.0
"""The Python blocks of README.md run as they stand, one after the other."""
import pathlib
import re

import pytest

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not BLOCKS, reason="README.md has no Python blocks")
def test_python_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for number, block in enumerate(BLOCKS, 1):
        if re.search(r"^(import|from) torch", block, re.MULTILINE):
            try:
                import torch  # noqa: F401
            except ImportError:
                continue
        exec(compile(block, f"README.md, Python block {number}", "exec"), names)
