# SPDX-License-Identifier: Apache-2.0
"""What several Python tests compute: errors, exact attention in float64, exact neighbours, data."""
import numpy as np


def nmse(original, decoded):
    """Squared error over squared norm, summed over all vectors."""
    original, decoded = np.asarray(original, np.float64), np.asarray(decoded, np.float64)
    return ((original - decoded) ** 2).sum() / (original ** 2).sum()


def mean_cosine(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return ((a * b).sum(-1) / norms).mean()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def attend(queries, keys, values, scale=None, causal=False):
    """softmax(scale * queries . keys) . values in float64: queries (B, Hq, Q, D), keys and values
    (B, H, T, D); query heads h*group .. h*group + group - 1 read KV head h."""
    queries, keys, values = (np.asarray(a, np.float64) for a in (queries, keys, values))
    group = queries.shape[1] // keys.shape[1]
    keys, values = np.repeat(keys, group, axis=1), np.repeat(values, group, axis=1)
    scale = queries.shape[-1] ** -.5 if scale is None else scale
    scores = scale * np.einsum("bhqd,bhtd->bhqt", queries, keys)
    if causal:
        q_len, tokens = scores.shape[-2:]
        hidden = np.arange(tokens) > np.arange(q_len)[:, None] + tokens - q_len
        scores = np.where(hidden, -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhqt,bhtd->bhqd", weights / weights.sum(-1, keepdims=True), values)


def relative_error(expected, found):
    expected, found = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    return np.linalg.norm(expected - found) / np.linalg.norm(expected)


def top(scores, k):
    """Indices of the k largest of each row of scores, best first, ties by the lower index."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :k]


def overlap(found, exact):
    """Mean share of each row of exact that is in the same row of found."""
    pairs = zip(np.asarray(found), np.asarray(exact))
    return float(np.mean([len(np.intersect1d(f, e)) / len(e) for f, e in pairs]))


def read_bvecs(path):
    raw = np.fromfile(path, np.uint8)
    dim = int(raw[:4].view("<i4")[0])
    return raw.reshape(-1, dim + 4)[:, 4:]
