# SPDX-License-Identifier: Apache-2.0
"""Marks and fixtures of the Python tests. They run from the repository, on whichever quashkv can be
imported: `make test` installs the wheel of this checkout first."""
import importlib.util
import pathlib

import numpy as np
import pytest

DATA = pathlib.Path(__file__).resolve().parents[2] / "data"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    config.addinivalue_line("markers", "torch: needs torch, skipped without it")
    config.addinivalue_line("markers", "transformers: needs transformers, skipped without it")


def pytest_report_header(config):
    import quashkv
    from quashkv import _lib

    return f"{_lib.describe()} (quashkv {quashkv.__version__} in {quashkv.__path__[0]})"


def pytest_collection_modifyitems(items):
    for name in "torch", "transformers":
        if importlib.util.find_spec(name) is None:
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=f"{name} is not installed"))


@pytest.fixture
def rng():
    return np.random.default_rng(20260112)


@pytest.fixture(params=["numpy", pytest.param("torch", marks=pytest.mark.torch)])
def kind(request):
    """Makes arrays of one kind from NumPy ones; `.check(result, dtype)` says that a result is of
    the kind and on the CPU, and returns it as NumPy."""
    return Torch() if request.param == "torch" else Numpy()


class Numpy:
    name = "numpy"

    def __call__(self, array):
        return np.asarray(array)

    def check(self, result, dtype=None):
        assert isinstance(result, np.ndarray)
        if dtype is not None:
            assert result.dtype == np.dtype(dtype)
        return result


class Torch:
    name = "torch"

    def __call__(self, array):
        import torch

        return torch.from_numpy(np.array(array))

    def check(self, result, dtype=None):
        import torch

        assert isinstance(result, torch.Tensor) and result.device.type == "cpu"
        result = result.numpy()
        if dtype is not None:
            assert result.dtype == np.dtype(dtype)
        return result


@pytest.fixture(scope="session")
def data():
    """The folder data/ of the repository."""
    return DATA
