# SPDX-License-Identifier: Apache-2.0
"""The threads of the library: how many, the same results with any, and forked processes."""
import multiprocessing
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import quashkv
from quashkv import MSEQuantizer, QuashIndex, QuashKVEngine

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(),
                                reason="no fork")


@pytest.fixture(autouse=True)
def default_number():
    yield
    quashkv.set_num_threads(0)


HERE = str(pathlib.Path(__file__).parent)


def python(code, **environment):
    """Runs code, which may import this file."""
    inherited = {k: v for k, v in os.environ.items() if k != "QUASH_THREADS"}
    path = os.pathsep.join(filter(None, [HERE, inherited.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          env={**inherited, "PYTHONPATH": path, **environment})


def pool_threads():
    names = [path.read_text() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
    return sum(name.startswith("quash-") for name in names)


def results():
    """Bytes of everything that works in parallel, from new objects."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 4, 300, 64)).astype(np.float32)
    engine, index, quantizer = QuashKVEngine(64), QuashIndex(64), MSEQuantizer(64, 3)
    engine.append(x, x)
    index.add(x.reshape(-1, 64))
    codes, norms = quantizer.compress(x)
    arrays = [engine.attention(x[:, :, :40]), *engine.decode(), *index.search(x[0, 0], 10), codes,
              norms, quantizer.decompress(codes, norms)]
    return [np.asarray(array).tobytes() for array in arrays]


# ---- How many ----------------------------------------------------------------------------------

@pytest.mark.parametrize("setting, expected", [
    (None, None), ("", None), ("1", 1), ("3", 3), ("1024", 1024)])
def test_the_environment_says_how_many(setting, expected):
    result = python("import quashkv; print(quashkv.get_num_threads(), quashkv.describe())",
                    **({} if setting is None else {"QUASH_THREADS": setting}))
    number = expected or len(os.sched_getaffinity(0))
    assert result.stdout.split()[0] == str(number), result.stderr
    assert result.stdout.endswith(f" workers={number}\n")


@pytest.mark.parametrize("setting", ["0", "1025", "many", " 1"])
def test_another_setting_is_a_value_error(setting):
    for use in "quashkv.QuashKVEngine(64)", "quashkv.get_num_threads()", "quashkv.describe()":
        result = python(f"import quashkv; {use}", QUASH_THREADS=setting)
        assert result.stderr.endswith(
            f'ValueError: QUASH_THREADS is "{setting}", expected 1..1024\n'), result.stderr


def test_a_number_set_wins_over_the_environment():
    result = python("import quashkv; quashkv.set_num_threads(2); print(quashkv.get_num_threads())",
                    QUASH_THREADS="many")
    assert result.stdout == "2\n", result.stderr


def test_numbers_out_of_range_change_nothing():
    quashkv.set_num_threads(3)
    for wrong in -1, 1025, 2**40:
        with pytest.raises(ValueError, match=r"n is -?\d+, expected 0..1024"):
            quashkv.set_num_threads(wrong)
    for wrong in 2.0, "2", None:
        with pytest.raises(TypeError, match="n must be an integer"):
            quashkv.set_num_threads(wrong)
    assert quashkv.get_num_threads() == 3


def test_the_same_results_with_any_number():
    quashkv.set_num_threads(1)
    expected = results()
    for number in 2, 3, 8, 0:
        quashkv.set_num_threads(number)
        assert results() == expected


@needs_proc
def test_threads_start_with_the_first_work_and_are_shared():
    result = python("""
import numpy as np, quashkv
from test_threads import pool_threads
quashkv.set_num_threads(4)
rows = np.ones((2000, 64), np.float32)
quantizers = [quashkv.MSEQuantizer(64, 3) for _ in range(20)]
print(pool_threads())
quantizers[0].compress(rows[:10])
print(pool_threads())
for quantizer in quantizers:
    quantizer.compress(rows)
print(pool_threads())
quashkv.set_num_threads(1)
quashkv.MSEQuantizer(64, 3).compress(rows)
quashkv.set_num_threads(4)
quashkv.MSEQuantizer(64, 3).compress(rows)
print(pool_threads())
""")
    assert result.stdout.split() == ["0", "0", "3", "3"], result.stderr


def test_objects_keep_the_number_they_were_made_with():
    quashkv.set_num_threads(3)
    engine, index, quantizer = QuashKVEngine(64), QuashIndex(64), MSEQuantizer(64, 3)
    x = np.random.default_rng(0).standard_normal((1, 2, 200, 64)).astype(np.float32)
    engine.append(x, x)
    expected = engine.attention(x).tobytes(), quantizer.compress(x)[0].tobytes()
    quashkv.set_num_threads(2)
    assert quashkv.get_num_threads() == 2
    assert (engine.attention(x).tobytes(), quantizer.compress(x)[0].tobytes()) == expected
    engine.clear()
    engine.append(x, x)
    index.add(x[0, 0])
    assert engine.attention(x).tobytes() == expected[0]


# ---- Forked processes --------------------------------------------------------------------------

QUANTIZER = None


def compress_in_child(seed):
    x = np.random.default_rng(seed).standard_normal((1000, 64)).astype(np.float32)
    started = pool_threads() if os.path.exists("/proc/self/task") else None
    shared = QUANTIZER.compress(x)[0].tobytes()  # made by the parent
    return started, shared == MSEQuantizer(64, 3).compress(x)[0].tobytes(), shared


@needs_fork
def test_a_pool_of_forked_processes():
    global QUANTIZER
    quashkv.set_num_threads(3)
    QUANTIZER = MSEQuantizer(64, 3)
    expected = [compress_in_child(seed)[2] for seed in range(12)]  # the parent has threads now
    for _ in range(3):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            children = pool.map_async(compress_in_child, range(12), chunksize=1).get(timeout=60)
        assert [codes for _, _, codes in children] == expected
        assert all(same for _, same, _ in children)
        assert [compress_in_child(seed)[2] for seed in range(12)] == expected


@needs_fork
@needs_proc
def test_a_forked_process_starts_threads_of_its_own():
    result = python("""
import numpy as np, os, quashkv
from test_threads import pool_threads
quashkv.set_num_threads(3)
rows = np.ones((2000, 64), np.float32)
quantizer = quashkv.MSEQuantizer(64, 3)
quantizer.compress(rows)
counts = [pool_threads()]
if os.fork() == 0:
    counts.append(pool_threads())
    quantizer.compress(rows)
    print(counts + [pool_threads()], flush=True)  # and leaves as any program does
else:
    assert os.wait()[1] == 0
""")
    assert result.stdout == "[2, 0, 2]\n", result.stderr
    assert result.returncode == 0
