# SPDX-License-Identifier: Apache-2.0
"""The package as part of a process: imports, memory, threads, forks, the C structs."""
import copy
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import quashkv
from quashkv import (InnerProductQuantizer, MixedPrecisionIPQuantizer, MixedPrecisionMSEQuantizer,
                     MSEQuantizer, QuashIndex, QuashKVEngine, _lib)
from quashkv._lock import SharedLock

ROOT = pathlib.Path(__file__).resolve().parents[2]

NO_TORCH = """
import sys
BLOCKED = {"torch", "transformers", "vllm", "scipy", "triton", "matplotlib"}
sys.modules.update(dict.fromkeys(BLOCKED))  # None: importing it raises ModuleNotFoundError
"""

EVERYTHING = """
import pkgutil, importlib
import numpy as np
import quashkv
for module in pkgutil.walk_packages(quashkv.__path__, "quashkv."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not any(map(sys.modules.get, BLOCKED))
x = np.random.default_rng(0).standard_normal((1, 2, 70, 64)).astype("f")
engine = quashkv.QuashKVEngine(64)
engine.append(x, x)
assert engine.attention(x[:, :, :1]).shape == (1, 2, 1, 64)
from quashkv.integrations.hf_cache import QuashKVCache
assert QuashKVCache(2, 64).update(x, x, 0)[0].shape == x.shape
from quashkv.integrations.vllm_backend import QuashKVPageManager
QuashKVPageManager(2, 64).compress_and_store(x[0].swapaxes(0, 1), x[0].swapaxes(0, 1))
print("imported and used")
"""


def python(code, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})


def test_everything_imports_and_works_without_torch():
    result = python(NO_TORCH + EVERYTHING)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "imported and used\n" and result.stderr == ""


def test_importing_loads_neither_torch_nor_matplotlib():
    result = python("import sys, quashkv; print(sorted({'torch', 'matplotlib', 'transformers'}"
                    " & set(sys.modules)))")
    assert result.stdout == "[]\n", result.stderr


def test_unusable_library_is_an_import_error(tmp_path):
    empty = tmp_path / "libquash.so"
    empty.write_bytes(b"not a library")
    result = python("import quashkv", QUASHKV_LIBRARY=str(empty))
    assert "ImportError" in result.stderr and str(empty) in result.stderr


def test_a_bad_cpu_level_is_a_value_error():
    result = python("import quashkv; quashkv.QuashKVEngine(64)", QUASH_CPU="abacus")
    assert "ValueError" in result.stderr and "abacus" in result.stderr


# ---- Memory ------------------------------------------------------------------------------------

def resident_bytes():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")
def test_no_leak_over_ten_thousand_objects():
    x = np.ones((1, 1, 3, 64), np.float32)

    def cycle():
        engine = QuashKVEngine(64)
        engine.append(x, x)
        index = QuashIndex(64)
        index.add(x[0, 0])
        MSEQuantizer(64, 3).compress(x)

    for _ in range(1000):
        cycle()
    before = resident_bytes()
    for _ in range(10_000):
        cycle()
    # One leaked object a cycle would be 10 MB or more.
    assert resident_bytes() - before < 3e6


def test_errors_do_not_leak():
    x = np.full((1, 1, 200, 64), np.nan, np.float32)
    before = None
    for i in range(3000):
        if i == 500:
            before = resident_bytes()
        with pytest.raises(ValueError):
            QuashKVEngine(64).append(x, x)
    assert resident_bytes() - before < 3e6


def test_results_outlive_their_makers():
    codes, norms = MSEQuantizer(64, 3).compress(np.ones((1000, 64), np.float32))
    pi = MSEQuantizer(64, 3).Pi
    for _ in range(50):
        np.ones((1000, 64), np.float32)
    assert codes.max() <= 7 and np.isfinite(norms).all()
    np.testing.assert_allclose(np.asarray(pi) @ np.asarray(pi).T, np.eye(64), atol=1e-5)


# ---- Copies ------------------------------------------------------------------------------------

def mixed(kind_of):
    quantizer = kind_of(64, 3, 2, 5, seed=9)
    quantizer.set_outlier_channels([1, 5, 60])
    return quantizer


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy,
                                       lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("make", [
    lambda: MSEQuantizer(64, 3, seed=7), lambda: InnerProductQuantizer(64, 4, seed=7),
    lambda: MixedPrecisionMSEQuantizer(64, seed=7), lambda: mixed(MixedPrecisionMSEQuantizer),
    lambda: mixed(MixedPrecisionIPQuantizer)])
def test_quantizers_can_be_copied_and_pickled(make, duplicate):
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    quantizer = make()
    expected = quantizer.compress(x)
    again = duplicate(quantizer)
    assert repr(again) == repr(quantizer) and type(again) is type(quantizer)
    for found, wanted in zip(again.compress(x), expected):
        np.testing.assert_array_equal(found, wanted)
    del quantizer
    again.compress(x)


def test_codebooks_can_be_copied_and_pickled():
    codebook = MSEQuantizer(64, 3).codebook
    again = pickle.loads(pickle.dumps(copy.deepcopy(codebook)))
    np.testing.assert_array_equal(again.centroids, codebook.centroids)
    assert again.mse_cost() == codebook.mse_cost()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("make", [lambda: QuashKVEngine(64), lambda: QuashIndex(64)])
def test_caches_and_indexes_cannot(make, duplicate):
    with pytest.raises(TypeError, match=f"{type(make()).__name__} cannot be copied or pickled"):
        duplicate(make())


# ---- Threads and processes ---------------------------------------------------------------------

def in_threads(count, work):
    errors = []

    def run(i):
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors
    assert not any(thread.is_alive() for thread in threads)


def test_calls_release_the_gil():
    """While one thread is inside a long call, another gets to run Python."""
    x = np.random.default_rng(0).standard_normal((200_000, 64)).astype(np.float32)
    quantizer = MSEQuantizer(64, 4)
    inside, ticks = threading.Event(), []

    def long_call(_):
        inside.set()
        quantizer.compress(x)
        inside.clear()

    def count(_):
        inside.wait(10)
        while inside.is_set():
            ticks.append(0)

    in_threads(2, lambda i: (long_call, count)[i](i))
    assert len(ticks) > 1000


def test_two_threads_on_objects_of_their_own():
    def work(i):
        rng = np.random.default_rng(i)
        for _ in range(20):
            keys, values = rng.standard_normal((2, 1, 2, 80, 64)).astype(np.float32)
            engine, alone = QuashKVEngine(64, seed=i), QuashKVEngine(64, seed=i)
            engine.append(keys, values)
            alone.append(keys, values)
            np.testing.assert_array_equal(engine.attention(keys), alone.attention(keys))

    in_threads(4, work)


def test_threads_share_one_engine_and_one_index():
    """Readers beside a writer: every answer is that of some prefix of the appends."""
    rng = np.random.default_rng(0)
    keys, values = rng.standard_normal((2, 1, 1, 60, 64)).astype(np.float32)
    queries = keys[:, :, :1]
    engine, index = QuashKVEngine(64), QuashIndex(64, centre=np.zeros(64))
    answers, searches = [], []
    prefixes = QuashKVEngine(64)
    for t in range(60):
        prefixes.append(keys[:, :, t:t + 1], values[:, :, t:t + 1])
        answers.append(prefixes.attention(queries).tobytes())
    engine.append(keys[:, :, :1], values[:, :, :1])
    index.add(keys[0, 0, :1])

    def work(i):
        if i == 0:
            for t in range(1, 60):
                engine.append(keys[:, :, t:t + 1], values[:, :, t:t + 1])
                index.add(keys[0, 0, t:t + 1])
        else:
            for _ in range(100):
                assert engine.attention(queries).tobytes() in answers
                searches.append(index.search(queries[0, 0], 1)[1][0, 0])

    in_threads(4, work)
    assert engine.total_tokens == len(index) == 60 and min(searches) >= 0


def test_a_writer_does_not_wait_for_readers_that_come_after_it():
    """Two threads read in turn, so that one of them always does; a third gets to write."""
    lock, done = SharedLock(), threading.Event()
    reading = threading.Semaphore(0)

    def work(i):
        if i == 2:
            for _ in range(3):
                assert reading.acquire(timeout=10)
            with lock.exclusive():
                done.set()
        for _ in range(10_000):
            if done.is_set():
                return
            with lock.shared():
                reading.release()
                time.sleep(.001)
        assert done.is_set()

    in_threads(3, work)


def test_an_error_under_the_lock_releases_it():
    engine = QuashKVEngine(64)
    x = np.ones((1, 1, 3, 64), np.float32)
    for _ in range(3):
        with pytest.raises(ValueError):
            engine.append(np.full_like(x, np.nan), x)
        with pytest.raises(ValueError):
            engine.attention(x)
    in_threads(2, lambda i: engine.append(x, x))
    assert engine.total_tokens == 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_goes_on():
    engine = QuashKVEngine(64)
    x = np.random.default_rng(0).standard_normal((1, 1, 70, 64)).astype(np.float32)
    engine.append(x, x)
    expected = engine.attention(x)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            engine.append(x, x)
            engine.clear()
            engine.append(x, x)
            code = 0 if np.array_equal(engine.attention(x), expected) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(engine.attention(x), expected)


# ---- The binding -------------------------------------------------------------------------------

def test_struct_layouts_are_those_of_the_headers(tmp_path):
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path / "layout"
    subprocess.run([compiler, "-std=c11", f"-I{ROOT / 'include'}", "-o", program,
                    ROOT / "tests" / "abi" / "layout_json.c"], check=True)
    printed = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
    for name, layout in _lib.struct_layouts().items():
        assert layout == printed[name], name


def test_every_declared_function_is_in_the_list_of_exports():
    exported = (ROOT / "tests" / "abi" / "symbols.txt").read_text().split()
    assert not {*_lib._STATUS, *_lib._GETTERS} - set(exported)


def test_describe_and_devices():
    assert quashkv.describe().startswith(f"quash {quashkv.__version__} cpu=")
    assert quashkv.devices() == ["cpu"]
