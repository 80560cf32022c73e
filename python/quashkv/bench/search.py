# SPDX-License-Identifier: Apache-2.0
"""quashkv bench search: recall, time and size of an index."""
from __future__ import annotations

import argparse

import numpy as np

from .. import QuashIndex, get_num_threads
from .report import Column, Plot, Report, Table, bit_list, progress, seconds
from .vectors import clustered, read_vectors

DESCRIPTION = """\
Measures recall, encoding time, search time and size of QuashIndex against exact search by NumPy, on
vectors of a file or on made-up ones (a Gaussian mixture of low rank, as embeddings are)."""

EXAMPLES = """\
  quashkv bench search
  quashkv bench search --large --bits 4
  quashkv bench search --base data/sift/base.bvecs --queries data/sift/queries.bvecs --seeds 5"""

SMALL, LARGE = (10_000, 500), (100_000, 1000)
RECALL_AT = (10, 100)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--large", action="store_true",
                        help=f"{LARGE[0]:,} vectors and {LARGE[1]:,} queries instead of "
                             f"{SMALL[0]:,} and {SMALL[1]:,}")
    parser.add_argument("--dim", type=int, default=128, metavar="N",
                        help="of made-up vectors (default 128)")
    parser.add_argument("--base", metavar="FILE", help="vectors to search: .npy, .fvecs, .bvecs")
    parser.add_argument("--queries", metavar="FILE", help="queries, likewise")
    parser.add_argument("--metric", choices=("ip", "cosine", "l2"), default="cosine",
                        help="default cosine")
    parser.add_argument("--bits", type=bit_list, default=[1, 2, 3, 4], metavar="LIST",
                        help="bits per coordinate (default 1,2,3,4)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N",
                        help="mean over N rotation seeds, counting from --seed (default 1)")


def run(options: argparse.Namespace) -> Report:
    """Errors: ValueError (options, files), OSError."""
    if (options.base is None) != (options.queries is None):
        raise ValueError("--base and --queries belong together")
    if options.base and options.large:
        raise ValueError("--large is for made-up vectors: leave it out, or --base")
    if options.seeds < 1:
        raise ValueError(f"--seeds is {options.seeds}, expected 1 or more")
    if options.base:
        base, queries = read_vectors(options.base), read_vectors(options.queries)
        source = options.base
    else:
        count, query_count = LARGE if options.large else SMALL
        if options.dim < 1:
            raise ValueError(f"--dim is {options.dim}, expected 1 or more")
        both = clustered(np.random.default_rng(options.seed), count + query_count, options.dim)
        base, queries, source = both[:count], both[count:], "made up, Gaussian mixture of rank 32"
    if not len(base) or not len(queries):
        raise ValueError("no vectors to search, or no queries")
    facts = {"source": source, "vectors": len(base), "dim": base.shape[1],
             "queries": len(queries), "metric": options.metric, "seeds": options.seeds}
    return Report("bench search", facts, [_table(options, base, queries)])


def _table(options: argparse.Namespace, base: np.ndarray, queries: np.ndarray) -> Table:
    threads = get_num_threads()
    title = f"QuashIndex, all queries in one call, {threads} thread{'s' if threads > 1 else ''}"
    table = Table("search", title, [
        Column("bits", "bits", 0), *(Column(f"recall_{k}", f"recall\n@{k}", 4) for k in RECALL_AT),
        Column("encode_s", "encode\ns", 3), Column("encode_us", "us per\nvector", 2),
        Column("search_ms", "ms per query\nk = 10", 3),
        Column("search_100_ms", "ms per query\nk = 100", 3),
        Column("row_bytes", "bytes per\nvector", 0), Column("held_bytes", "held per\nvector", 1),
        Column("ratio", "ratio\nto f32", 2)],
        plot=Plot("bits", [f"recall_{k}" for k in RECALL_AT]))
    exact_s, exact = seconds(lambda: QuashIndex(base.shape[1], metric=options.metric).brute_force(
        queries, base, max(RECALL_AT)))
    for bits in progress(options.bits, "search, bits"):
        rows = [_measure(options, bits, seed, base, queries, exact[1])
                for seed in range(options.seed, options.seed + options.seeds)]
        table.add(bits=bits, **{key: float(np.mean([row[key] for row in rows])) for key in rows[0]})
    table.notes = [
        f"exact search by NumPy, float32, its own threads: {exact_s / len(queries) * 1e3:.3f} ms "
        f"per query, {base.nbytes / len(base):.0f} bytes per vector.",
        "recall@k: share of the k exact neighbours among the k found. held: all bytes of the "
        "index. No training: encoding is all there is to building it."]
    return table


def _measure(options: argparse.Namespace, bits: int, seed: int, base: np.ndarray,
             queries: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    index = QuashIndex(base.shape[1], bits, seed, metric=options.metric)
    encode_s, _ = seconds(lambda: index.add(base))
    row: dict[str, float] = {"encode_s": encode_s, "encode_us": encode_s / len(base) * 1e6}
    for k in RECALL_AT:
        search_s, (_, ids) = seconds(lambda: index.search(queries, k))
        row["search_ms" if k == 10 else f"search_{k}_ms"] = search_s / len(queries) * 1e3
        row[f"recall_{k}"] = _recall(ids, exact[:, :k])
    row.update(row_bytes=4 * base.shape[1] / index.compression_ratio(),
               held_bytes=index.memory_bytes() / len(base), ratio=index.compression_ratio())
    return row


def _recall(found: np.ndarray, exact: np.ndarray) -> float:
    shared = [np.intersect1d(f, e, assume_unique=True).size for f, e in zip(found, exact)]
    return float(np.mean(shared) / exact.shape[1])
