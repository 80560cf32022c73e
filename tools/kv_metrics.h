/* SPDX-License-Identifier: Apache-2.0 */
/* kv_metrics.h: what a compressed cache of one layer costs and loses. */
#ifndef TOOL_KV_METRICS_H
#define TOOL_KV_METRICS_H

#include "kv_layer.h"

struct kv_setting {
    int32_t key_bits, value_bits, search_level;
    int32_t mode; /* a quash_attend_mode */
    uint64_t seed;
};

/* All are sums over runs until divided; NaN where there were no queries. */
struct kv_figures {
    double key_code_bytes, value_code_bytes, scale_bytes, table_bytes, total_bytes;
    double bytes_per_token;
    double ratio;      /* bytes of the same in binary16 / total_bytes */
    double key_nmse;   /* sum |k^ - k|^2 / sum |k|^2 */
    double key_theory; /* of a Gaussian-like coordinate in this dim, by the optimal codebook */
    double value_nmse;
    double value_theory;
    double key_cosine; /* mean over vectors that are not zero */
    double value_cosine;
    double logit_rms;     /* of q.(k^ - k)/sqrt(head_dim) over all visible pairs */
    double output_error;  /* sqrt(sum |o^ - o|^2 / sum |o|^2), o exact */
    double output_cosine; /* mean over queries */
};

enum { KV_FIGURES = sizeof(struct kv_figures) / sizeof(double) };

/* Adds b, times factor, to a. */
void kv_figures_add(struct kv_figures *a, const struct kv_figures *b, double factor);

/* Fills a cache with the layer and measures it. */
int kv_measure(const struct kv_layer *layer, const struct kv_setting *setting,
               quash_context *context, struct kv_figures *out, struct tool_error *error);

#endif
