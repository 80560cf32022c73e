/* SPDX-License-Identifier: Apache-2.0 */
/* attend_oracle.h: attention in double on decoded keys and values, what quash_cache_attend is
 * measured against. The error left is that of float arithmetic alone: bits do not enter it. */
#ifndef QUASH_TESTS_ATTEND_ORACLE_H
#define QUASH_TESTS_ATTEND_ORACLE_H

#include "cache_support.h"

/* Bound of the relative error of an output row (l2 norm), and of the log-sum-exp, absolute and
 * relative. */
#define ATTEND_BOUND 1e-5

struct attend_oracle {
    const struct test_kv *kv; /* decoded */
    double scale;
    double *weights; /* [tokens] */
};

static inline struct attend_oracle attend_oracle_make(const struct test_kv *decoded, float scale) {
    struct attend_oracle oracle = { decoded, (double)scale, NULL };
    oracle.weights = test_alloc(decoded->tokens * sizeof(double));
    if (scale == 0.0f) {
        oracle.scale = 1.0 / sqrt((double)decoded->dim);
    }
    return oracle;
}

/* Output [dim] of one query that sees the first `visible` tokens of a KV head; returns its lse. */
static inline double attend_oracle_row(const struct attend_oracle *oracle, size_t kv_head,
                                       const float *query, size_t visible, double *out) {
    const struct test_kv *const kv = oracle->kv;
    const float *const keys = kv->keys + kv_head * kv->tokens * kv->dim;
    const float *const values = kv->values + kv_head * kv->tokens * kv->dim;
    double largest = -HUGE_VAL;
    double sum = 0.0;
    for (size_t t = 0; t < visible; t++) {
        oracle->weights[t] = oracle->scale * test_dot(query, keys + t * kv->dim, kv->dim);
        largest = fmax(largest, oracle->weights[t]);
    }
    for (size_t i = 0; i < kv->dim; i++) {
        out[i] = 0.0;
    }
    for (size_t t = 0; t < visible; t++) {
        const double p = exp(oracle->weights[t] - largest);
        sum += p;
        for (size_t i = 0; i < kv->dim; i++) {
            out[i] += p * (double)values[t * kv->dim + i];
        }
    }
    for (size_t i = 0; i < kv->dim; i++) {
        out[i] /= sum;
    }
    return largest + log(sum);
}

/* Half the distance between the numbers of a dtype around x. */
static inline double attend_half_step(int32_t dtype, double x) {
    int exponent;
    (void)frexp(x, &exponent);
    switch (dtype) {
    case QUASH_F16: return ldexp(1.0, (exponent < -13 ? -13 : exponent) - 12);
    case QUASH_BF16: return ldexp(1.0, exponent - 9);
    default: return 0.0;
    }
}

/* Worst figures so far. */
struct attend_worst {
    double out;
    double lse;
};

/* Checks one output row against the oracle's. The norm of what rounding to the dtype of the output
 * cannot explain is the error. */
static inline void attend_check_row(struct attend_worst *worst, const struct test_tensor *out,
                                    size_t head, size_t position, const double *expected) {
    const size_t dim = (size_t)out->view.shape[2];
    double error = 0.0;
    double norm = 0.0;
    for (size_t i = 0; i < dim; i++) {
        const double found = (double)test_tensor_at(out, head, position, i);
        const double off = fabs(found - expected[i]);
        const double rounding = attend_half_step(out->view.dtype, expected[i]);
        const double left = off > rounding ? off - rounding : (isnan(off) ? off : 0.0);
        error += left * left;
        norm += expected[i] * expected[i];
    }
    const double relative = norm > 0.0 ? sqrt(error / norm) : sqrt(error);
    worst->out = relative > worst->out ? relative : worst->out;
    CHECK(relative <= ATTEND_BOUND);
}

static inline void attend_check_lse(struct attend_worst *worst, double found, double expected) {
    const double error = fabs(found - expected) / (1.0 + fabs(expected));
    worst->lse = error > worst->lse ? error : worst->lse;
    CHECK(error <= ATTEND_BOUND);
}

static inline void attend_print(const char *what, const struct attend_worst *worst) {
    printf("     %s: worst error of out %.2e, of lse %.2e\n", what, worst->out, worst->lse);
}

#endif
