# SPDX-License-Identifier: Apache-2.0
"""Codes the rows of an index and scores queries, written from section 11 of doc/format.md alone;
standard library only."""
import math

from decoder import INTEGERS, STEP, Rotation, f32, f32s, near_one
from encoder import UNBIASED, encode_vector, lane_sum


def scaled(x):
    """(x near 1, its power)"""
    power = near_one(max(abs(v) for v in x))
    return f32s([v * (1 / power) for v in x]), power


def prepare(x, metric):
    if metric != "cosine":
        return x
    x = scaled(x)[0]
    factor = f32(1 / f32(math.sqrt(lane_sum(f32s([v * v for v in x])))))
    return f32s([v * factor for v in x])


def sum64(terms):
    total = 0.0
    for term in terms:  # not sum(), which may compensate
        total += term
    return total


def minus(a, b):
    return f32s([v - w for v, w in zip(a, b)])


def code_row(x, centre, metric, bits, search_level, rotation):
    """(codes, stored scale, addend)"""
    d = minus(x, centre)
    addend = f32(sum64(v * w for v, w in zip(d if metric == "l2" else centre, d)))
    codes, scale = encode_vector(d, bits, UNBIASED, search_level, rotation)
    return codes, f32(scale * STEP[bits]), addend


def coded_keys(q, rows, centre, metric, bits, rotation):
    """(the key of every row, the constant of the query)"""
    r = minus(q, centre)
    constant = sum64(v * v for v in r) if metric == "l2" else sum64(
        v * w for v, w in zip(q, centre))
    r, power = scaled(r)
    rotation.apply(r)
    top = max(abs(v) for v in r)
    inverse = f32(127 / top) if top > 0 else 0.0
    digits = [round(v) for v in f32s([v * inverse for v in r])]  # ties to even
    unit = f32(f32(top / 127) * power)
    keys = []
    for codes, scale, addend in rows:
        isum = sum(INTEGERS[bits][code] * digit for code, digit in zip(codes, digits))
        product = f32(scale * f32(unit * f32(isum)))
        keys.append(f32(f32(2 * product) - addend) if metric == "l2" else f32(product + addend))
    return keys, constant


def raw_keys(q, rows, metric):
    if metric == "l2":
        return [f32(sum64(-(v - w) * (v - w) for v, w in zip(q, x))) for x in rows], 0.0
    return [f32(sum64(v * w for v, w in zip(q, x))) for x in rows], 0.0


def search(rows, queries, bits, metric, search_level, centre_rows, seed):
    """All rows ranked for each query: the scores and the ids, query after query."""
    rows = [prepare(x, metric) for x in rows]
    centre = None
    if len(rows) >= centre_rows:
        centre = [f32(sum64(column) / centre_rows) for column in zip(*rows[:centre_rows])]
        rotation = Rotation(len(rows[0]), 2, seed)
        rows = [code_row(x, centre, metric, bits, search_level, rotation) for x in rows]
    scores, ids = [], []
    for q in queries:
        q = prepare(q, metric)
        keys, constant = (raw_keys(q, rows, metric) if centre is None else
                          coded_keys(q, rows, centre, metric, bits, rotation))
        order = sorted(range(len(rows)), key=lambda i: (-keys[i], i))
        ids += order
        scores += [f32(max(0.0, constant - keys[i]) if metric == "l2" else keys[i] + constant)
                   for i in order]
    return scores, ids
