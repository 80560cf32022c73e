/* SPDX-License-Identifier: Apache-2.0 */
/* kv_metrics.c: fills a cache with captured keys and values, and compares what it gives back with
 * the originals. Sums are in binary64. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "kv_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kv_figures_add(struct kv_figures *a, const struct kv_figures *b, double factor) {
    double sum[KV_FIGURES];
    double term[KV_FIGURES];
    memcpy(sum, a, sizeof sum);
    memcpy(term, b, sizeof term);
    for (int i = 0; i < KV_FIGURES; i++) {
        sum[i] += factor * term[i];
    }
    memcpy(a, sum, sizeof sum);
}

/* Errors of approximate vectors against exact ones, summed over vectors. */
struct comparison {
    double error, energy, cosine;
    int64_t cosines;
};

static void compare(struct comparison *comparison, const float *approximate, const double *exact,
                    int64_t dim) {
    double error = 0.0;
    double dot = 0.0;
    double aa = 0.0;
    double ee = 0.0;
    for (int64_t i = 0; i < dim; i++) {
        const double a = (double)approximate[i];
        const double e = exact[i];
        error += (a - e) * (a - e);
        dot += a * e;
        aa += a * a;
        ee += e * e;
    }
    comparison->error += error;
    comparison->energy += ee;
    if (aa > 0.0 && ee > 0.0) {
        comparison->cosine += dot / sqrt(aa) / sqrt(ee);
        comparison->cosines++;
    }
}

static double relative_error(const struct comparison *c) {
    return c->energy > 0.0 ? c->error / c->energy : TOOL_NO_VALUE;
}

static double mean_cosine(const struct comparison *c) {
    return c->cosines > 0 ? c->cosine / (double)c->cosines : TOOL_NO_VALUE;
}

/* Compares all keys or all values. exact_row has room for one vector. */
static void compare_all(const struct kv_layer *layer, const float *approximate, const float *exact,
                        double *exact_row, double *nmse, double *cosine) {
    struct comparison comparison = { 0.0, 0.0, 0.0, 0 };
    const int64_t dim = layer->head_dim;
    for (int64_t row = 0; row < layer->kv_heads * layer->tokens; row++) {
        for (int64_t i = 0; i < dim; i++) {
            exact_row[i] = (double)exact[row * dim + i];
        }
        compare(&comparison, approximate + row * dim, exact_row, dim);
    }
    *nmse = relative_error(&comparison);
    *cosine = mean_cosine(&comparison);
}

static double logit_rms(const struct kv_layer *layer, const float *decoded) {
    const int64_t dim = layer->head_dim;
    const int64_t group = layer->query_heads / layer->kv_heads;
    double squares = 0.0;
    double pairs = 0.0;
    for (int64_t h = 0; h < layer->query_heads; h++) {
        const int64_t head = h / group * layer->tokens * dim;
        for (int64_t i = 0; i < layer->q_len; i++) {
            const float *query = layer->queries + (h * layer->q_len + i) * dim;
            const int64_t visible = layer->tokens - layer->q_len + i + 1;
            for (int64_t t = 0; t < visible; t++) {
                const float *key = layer->keys + head + t * dim;
                const float *other = decoded + head + t * dim;
                double error = 0.0;
                for (int64_t c = 0; c < dim; c++) {
                    error += (double)query[c] * ((double)other[c] - (double)key[c]);
                }
                squares += error * error;
            }
            pairs += (double)visible;
        }
    }
    return sqrt(squares / pairs / (double)dim);
}

static int measure_output(const struct kv_layer *layer, const quash_cache *cache, int32_t mode,
                          struct kv_figures *out, struct tool_error *error) {
    const int64_t dim = layer->head_dim;
    const int64_t count = layer->query_heads * layer->q_len;
    float *output = malloc((size_t)(count * dim) * sizeof *output);
    if (output == NULL) {
        return tool_fail_memory(error, layer->keys_path);
    }
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    params.mode = mode;
    const quash_array queries =
        quash_array_view(layer->queries, QUASH_F32, 3, layer->query_heads, layer->q_len, dim);
    const quash_array target =
        quash_array_view(output, QUASH_F32, 3, layer->query_heads, layer->q_len, dim);
    const quash_status status =
        quash_cache_attend(cache, &params, &queries, &target, NULL, NULL, 0);
    if (status != QUASH_OK) {
        free(output);
        return tool_fail_library(error, layer->queries_path, status, TOOL_DATA);
    }
    struct comparison comparison = { 0.0, 0.0, 0.0, 0 };
    for (int64_t i = 0; i < count; i++) {
        compare(&comparison, output + i * dim, layer->exact + i * dim, dim);
    }
    free(output);
    out->output_error = sqrt(relative_error(&comparison));
    out->output_cosine = mean_cosine(&comparison);
    return TOOL_OK;
}

static void measure_bytes(const struct kv_layer *layer, const quash_cache *cache,
                          struct kv_figures *out) {
    const quash_cache_bytes bytes = quash_cache_get_bytes(cache);
    const double numbers = 2.0 * (double)(layer->kv_heads * layer->tokens * layer->head_dim);
    out->key_code_bytes = (double)bytes.key_codes;
    out->value_code_bytes = (double)bytes.value_codes;
    out->scale_bytes = (double)bytes.scales;
    out->table_bytes = (double)bytes.tables;
    out->total_bytes = (double)bytes.total;
    out->bytes_per_token = out->total_bytes / (double)layer->tokens;
    out->ratio = 2.0 * numbers / out->total_bytes;
}

/* Decodes keys and values and compares; then attention. */
static int measure_cache(const struct kv_layer *layer, const quash_cache *cache, int32_t mode,
                         struct kv_figures *out, struct tool_error *error) {
    const size_t count = (size_t)(layer->kv_heads * layer->tokens * layer->head_dim);
    float *keys = calloc(count, sizeof *keys);
    float *values = calloc(count, sizeof *values);
    double *row = malloc((size_t)layer->head_dim * sizeof *row);
    int code = TOOL_OK;
    if (keys == NULL || values == NULL || row == NULL) {
        code = tool_fail_memory(error, layer->keys_path);
    } else {
        const quash_array k =
            quash_array_view(keys, QUASH_F32, 3, layer->kv_heads, layer->tokens, layer->head_dim);
        const quash_array v =
            quash_array_view(values, QUASH_F32, 3, layer->kv_heads, layer->tokens, layer->head_dim);
        const quash_status status = quash_cache_decode(cache, 0, &k, &v);
        if (status != QUASH_OK) {
            code = tool_fail_library(error, layer->keys_path, status, TOOL_DATA);
        }
    }
    if (code == TOOL_OK) {
        measure_bytes(layer, cache, out);
        compare_all(layer, keys, layer->keys, row, &out->key_nmse, &out->key_cosine);
        compare_all(layer, values, layer->values, row, &out->value_nmse, &out->value_cosine);
        out->logit_rms = out->output_error = out->output_cosine = TOOL_NO_VALUE;
    }
    if (code == TOOL_OK && layer->queries != NULL) {
        out->logit_rms = logit_rms(layer, keys);
        code = measure_output(layer, cache, mode, out, error);
    }
    free(keys);
    free(values);
    free(row);
    return code;
}

static int theory(const struct kv_layer *layer, int32_t bits, double *nmse,
                  struct tool_error *error) {
    double levels[16];
    const quash_status status = quash_codebook_solve((int32_t)layer->head_dim, bits, levels, nmse);
    return status == QUASH_OK ? TOOL_OK
                              : tool_fail_library(error, layer->keys_path, status, TOOL_DATA);
}

int kv_measure(const struct kv_layer *layer, const struct kv_setting *setting,
               quash_context *context, struct kv_figures *out, struct tool_error *error) {
    if (layer->kv_heads > QUASH_KV_HEADS_MAX) {
        return tool_fail(error, TOOL_DATA, "%s: found %lld KV heads, expected at most %d",
                         layer->keys_path, (long long)layer->kv_heads, QUASH_KV_HEADS_MAX);
    }
    quash_cache_params params = QUASH_CACHE_PARAMS_INIT;
    params.kv_heads = (int32_t)layer->kv_heads;
    params.head_dim = (int32_t)layer->head_dim;
    params.key_bits = setting->key_bits;
    params.value_bits = setting->value_bits;
    params.search_level = setting->search_level;
    params.seed = setting->seed;
    quash_cache *cache = NULL;
    quash_status status = quash_cache_create(&cache, context, &params);
    if (status == QUASH_OK) {
        const quash_array k = quash_array_view(layer->keys, QUASH_F32, 3, layer->kv_heads,
                                               layer->tokens, layer->head_dim);
        const quash_array v = quash_array_view(layer->values, QUASH_F32, 3, layer->kv_heads,
                                               layer->tokens, layer->head_dim);
        status = quash_cache_append(cache, &k, &v);
    }
    int code = TOOL_OK;
    if (status != QUASH_OK) {
        /* The message says whether it is about keys or values, or leaves it open. */
        char names[512];
        (void)snprintf(names, sizeof names, "%s, %s", layer->keys_path, layer->values_path);
        code = tool_fail_library(error, names, status, TOOL_DATA);
    }
    memset(out, 0, sizeof *out);
    if (code == TOOL_OK) {
        code = measure_cache(layer, cache, setting->mode, out, error);
    }
    if (code == TOOL_OK) {
        code = theory(layer, setting->key_bits, &out->key_theory, error);
    }
    if (code == TOOL_OK) {
        code = theory(layer, setting->value_bits, &out->value_theory, error);
    }
    quash_cache_free(cache);
    return code;
}
