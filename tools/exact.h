/* SPDX-License-Identifier: Apache-2.0 */
/* exact.h: exact nearest neighbours in binary64: what a compressed search is judged by. */
#ifndef TOOL_EXACT_H
#define TOOL_EXACT_H

#include "tool.h"

struct exact_job {
    const float *base, *queries; /* (rows, dim), (query_count, dim) */
    int64_t rows, query_count, dim;
    quash_metric metric;
    int64_t k;    /* 1..rows */
    int64_t *ids; /* (query_count, k): nearest first, equal ones by the lower id */
};

/* Shows its progress. */
int exact_search(const struct exact_job *job, struct tool_error *error);

/* Mean share of the k exact ids that are among the k found. */
double exact_recall(const int64_t *exact, const int64_t *found, int64_t query_count, int64_t k);

#endif
