# SPDX-License-Identifier: Apache-2.0
"""quashkv bench latency: attention on codes beside attention on float32, one thread."""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any, Callable

import numpy as np

from .. import QuashKVEngine, describe
from . import published
from .report import Column, CommandError, Plot, Report, Table, bit_list, progress

DESCRIPTION = """\
Times attention of one query over a compressed cache, batch 1, beside NumPy and, where it is
installed, torch (scaled_dot_product_attention) on the uncompressed float32; and the compression of
the tokens. One thread each; median of rounds in which all take turns."""

EXAMPLES = """\
  quashkv bench latency
  quashkv bench latency --tokens 4096,16384 --bits 3
  quashkv bench latency --json - > latency.json"""

TOKENS = (64, 256, 1024, 4096)
# One thread of libquash and of whatever numerical library NumPy and torch use here; read when they
# are loaded.
ONE_THREAD = dict.fromkeys(("QUASH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                            "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")


def _token_list(text: str) -> list[int]:
    numbers = sorted({int(part) for part in text.split(",")})
    if numbers[0] < 1:
        raise ValueError
    return numbers


_token_list.__name__ = "list of token counts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokens", type=_token_list, default=list(TOKENS), metavar="LIST",
                        help="lengths of the cache (default 64,256,1024,4096)")
    parser.add_argument("--bits", type=bit_list, default=[2, 3, 4], metavar="LIST",
                        help="bits of keys and values (default 2,3,4)")
    parser.add_argument("--heads", type=int, default=8, metavar="N", help="default 8")
    parser.add_argument("--dim", type=int, default=128, metavar="N", help="default 128")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="default 15")


def run(options: argparse.Namespace) -> Report:
    """Errors: ValueError (options)."""
    for name in "heads", "rounds":
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}, expected 1 or more")
    for bits in options.bits:
        QuashKVEngine(options.dim, bits, bits)  # says what is wrong with bits or dimension
    rows = _in_one_thread({name: getattr(options, name)
                           for name in ("tokens", "bits", "heads", "dim", "rounds", "seed")})
    facts = {"shape": f"batch 1, {options.heads} heads, {options.dim} dimensions, one query, one "
                      "thread", "rounds": options.rounds,
             "torch": rows[0]["torch_version"] or "not installed"}
    table = Table("latency", "attention of one query, ms", [
        Column("tokens", "tokens", 0), Column("bits", "bits", 0),
        Column("attention_ms", "on codes\nms", 3), Column("numpy_ms", "NumPy f32\nms", 3),
        Column("torch_ms", "torch f32\nms", 3), Column("to_numpy", "codes /\nNumPy", 2),
        Column("to_torch", "codes /\ntorch", 2),
        Column("published_ms", "original,\npublished", 2),
        Column("compress_ms", "compress\nall, ms", 3),
        Column("compress_published_ms", "original,\npublished", 2),
        Column("held_bytes", "bytes\nheld", 0), Column("f32_bytes", "bytes\nf32", 0)],
        plot=Plot("tokens", ["attention_ms", "torch_ms"], by="bits", logarithmic=True))
    for row in rows:
        del row["torch_version"]
        library = row.pop("library")
        if row["bits"] == 3:
            row["published_ms"] = published.ATTENTION_MS.get(row["tokens"])
            row["compress_published_ms"] = published.COMPRESSION_MS.get(row["tokens"])
        table.add(**row)
    table.notes = [f"{published.LABEL}: fused kernels of the prototype on an NVIDIA A100 (its own "
                   "plain path took .40, 1.06, 3.71 and 14.65 ms there): another machine, "
                   "printed for completeness."]
    return Report("bench latency", facts, [table], library)


def _in_one_thread(job: dict[str, Any]) -> list[dict[str, Any]]:
    """measure(job) in a child process whose libraries have one thread."""
    child = subprocess.run([sys.executable, "-m", __name__], input=json.dumps(job), text=True,
                           stdout=subprocess.PIPE, env={**os.environ, **ONE_THREAD})
    if child.returncode != 0:
        raise CommandError(f"the measuring process ended with code {child.returncode}", 1)
    return json.loads(child.stdout)


# ---- In the child ------------------------------------------------------------------------------

def measure(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table, without the published figures."""
    rng = np.random.default_rng(job["seed"])
    torch = _torch()
    rows = []
    for tokens in progress(job["tokens"], "latency, tokens"):
        shape = (1, job["heads"], tokens, job["dim"])
        keys, values = rng.standard_normal((2, *shape), dtype=np.float32)
        queries = rng.standard_normal((*shape[:2], 1, shape[3]), dtype=np.float32)
        contenders: dict[Any, Callable[[], Any]] = {
            "numpy": lambda: numpy_attention(queries, keys, values)}
        if torch:
            tensors = [torch.from_numpy(a) for a in (queries, keys, values)]
            contenders["torch"] = lambda: torch.nn.functional.scaled_dot_product_attention(*tensors)
        engines = {}
        for bits in job["bits"]:
            engine = engines[bits] = QuashKVEngine(job["dim"], bits, bits, job["seed"])
            engine.append(keys, values)
            contenders[bits] = partial(engine.attention, queries)
            contenders["compress", bits] = partial(_compress, job, bits, keys, values)
        times = take_turns(contenders, job["rounds"])
        for bits in job["bits"]:
            rows.append({
                "tokens": tokens, "bits": bits, "attention_ms": times[bits],
                "numpy_ms": times["numpy"], "torch_ms": times.get("torch"),
                "to_numpy": times[bits] / times["numpy"],
                "to_torch": times[bits] / times["torch"] if torch else None,
                "compress_ms": times["compress", bits],
                "held_bytes": engines[bits].actual_memory_bytes(),
                "f32_bytes": keys.nbytes + values.nbytes,
                "torch_version": torch.__version__ if torch else None,
                "library": describe()})
    return rows


def _compress(job: dict[str, Any], bits: int, keys: np.ndarray, values: np.ndarray) -> None:
    QuashKVEngine(job["dim"], bits, bits, job["seed"]).append(keys, values)


def _torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return torch


def numpy_attention(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What one writes by hand."""
    scores = queries @ keys.swapaxes(-1, -2) / np.float32(keys.shape[-1] ** .5)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ values


def take_turns(contenders: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Median milliseconds of a call of each. A turn repeats short calls up to about 5 ms."""
    repeats = {}
    for name, call in contenders.items():
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(.005 / max(time.perf_counter() - start, 1e-6)))
    times: dict[Any, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name] * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    json.dump(measure(json.load(sys.stdin)), sys.stdout)
