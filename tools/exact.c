/* SPDX-License-Identifier: Apache-2.0 */
/* exact.c: exhaustive search in binary64, one thread, plain C: a reference, not a competitor. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "exact.h"

#include "progress.h"

#include <stdlib.h>

/* Four sums, so that an addition need not wait for the one before. */
static double dot(const float *a, const float *b, int64_t dim) {
    double sum[4] = { 0.0, 0.0, 0.0, 0.0 };
    int64_t i = 0;
    for (; i + 4 <= dim; i += 4) {
        sum[0] += (double)a[i] * (double)b[i];
        sum[1] += (double)a[i + 1] * (double)b[i + 1];
        sum[2] += (double)a[i + 2] * (double)b[i + 2];
        sum[3] += (double)a[i + 3] * (double)b[i + 3];
    }
    for (; i < dim; i++) {
        sum[0] += (double)a[i] * (double)b[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Differences first: |q|^2 - 2qx + |x|^2 would cancel for near neighbours. */
static double squared_distance(const float *a, const float *b, int64_t dim) {
    double sum[2] = { 0.0, 0.0 };
    int64_t i = 0;
    for (; i + 2 <= dim; i += 2) {
        const double d0 = (double)a[i] - (double)b[i];
        const double d1 = (double)a[i + 1] - (double)b[i + 1];
        sum[0] += d0 * d0;
        sum[1] += d1 * d1;
    }
    for (; i < dim; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum[0] += d * d;
    }
    return sum[0] + sum[1];
}

/* Larger is nearer, for every metric. The norm of the query orders nothing and is left out. */
static double nearness(const struct exact_job *job, const float *query, int64_t row,
                       const double *inverse_norms) {
    const float *vector = job->base + row * job->dim;
    switch (job->metric) {
    case QUASH_METRIC_IP: return dot(query, vector, job->dim);
    case QUASH_METRIC_COSINE: return dot(query, vector, job->dim) * inverse_norms[row];
    case QUASH_METRIC_L2: return -squared_distance(query, vector, job->dim);
    }
    return 0.0;
}

/* Keeps the best k of nearness in order; rows come by ascending id, so an equal one goes behind. */
static void insert(double *best, int64_t *ids, int64_t *count, int64_t k, double value,
                   int64_t id) {
    if (*count == k && value <= best[k - 1]) {
        return;
    }
    int64_t at = *count < k ? (*count)++ : k - 1;
    for (; at > 0 && best[at - 1] < value; at--) {
        best[at] = best[at - 1];
        ids[at] = ids[at - 1];
    }
    best[at] = value;
    ids[at] = id;
}

int exact_search(const struct exact_job *job, struct tool_error *error) {
    double *best = malloc((size_t)job->k * sizeof *best);
    double *inverse_norms = malloc((size_t)job->rows * sizeof *inverse_norms);
    struct progress progress;
    if (best == NULL || inverse_norms == NULL) {
        free(best);
        free(inverse_norms);
        return tool_fail_memory(error, "exact search");
    }
    for (int64_t row = 0; row < job->rows; row++) {
        const float *vector = job->base + row * job->dim;
        const double norm = sqrt(dot(vector, vector, job->dim));
        inverse_norms[row] = norm > 0.0 ? 1.0 / norm : 0.0;
    }
    progress_start(&progress, "exact queries", job->query_count);
    for (int64_t q = 0; q < job->query_count; q++) {
        int64_t count = 0;
        for (int64_t row = 0; row < job->rows; row++) {
            insert(best, job->ids + q * job->k, &count, job->k,
                   nearness(job, job->queries + q * job->dim, row, inverse_norms), row);
        }
        progress_update(&progress, q + 1);
    }
    progress_end(&progress);
    free(best);
    free(inverse_norms);
    return TOOL_OK;
}

double exact_recall(const int64_t *exact, const int64_t *found, int64_t query_count, int64_t k) {
    int64_t hits = 0;
    for (int64_t q = 0; q < query_count; q++) {
        for (int64_t i = 0; i < k; i++) {
            for (int64_t j = 0; j < k; j++) {
                if (exact[q * k + i] == found[q * k + j]) {
                    hits++;
                    break;
                }
            }
        }
    }
    return (double)hits / (double)(query_count * k);
}
