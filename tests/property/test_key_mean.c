/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that attention on coded tokens with key statistics is attention on the keys that they
 * stand for, decoded, at every CPU level and in every mode: means of any kind, garbage included,
 * with and without a scale, both layouts, partial rotation, several heads and rows, far positions.
 * Codes have the same bytes at every level. */
#define _POSIX_C_SOURCE 200809L
#include "attend_oracle.h"
#include "key_stats_support.h"
#include "levels.h"

#include "codec/tile.h"
#include "cpu/tiles.h"

struct shape {
    size_t heads, group, q_len, dim, rotary_dim;
    int32_t layout;
    int32_t pairs;
};

static const struct shape shapes[] = {
    { 2, 4, 1, 128, 128, QUASH_ROPE_HALF, 16 },
    { 3, 1, 1, 64, 64, QUASH_ROPE_INTERLEAVED, QUASH_MEAN_PAIRS_ALL },
    { 1, 16, 3, 96, 24, QUASH_ROPE_HALF, 16 },
    { 5, 2, 1, 80, 0, QUASH_ROPE_HALF, 16 },
    { 1, 3, 17, 40, 40, QUASH_ROPE_HALF, 2 },
    { 2, 1, 1, 256, 64, QUASH_ROPE_INTERLEAVED, 4 },
};

/* A mean this large compared with the keys; 0: none. */
static const double means[] = { 0.0, 1.0, 4.0 };

/* The tiles of a layer, as a store would hold them. */
struct layer {
    struct quash_tile_layout layout;
    uint8_t signs[8 * 1024];
    struct quash_rotation rotation;
    struct quash_quantizer keys;
    struct quash_quantizer values;
    struct test_rope rope;
    struct quash_key_stats stats[8];
    uint8_t **pages;
    int64_t page_count;
    size_t page_bytes;
    struct quash_tiles tiles;
};

static void layer_make(struct layer *layer, quash_context *context, const struct shape *s,
                       int32_t bits, double size, bool scaled, int64_t tokens) {
    struct test_rng rng = test_rng_start(s->dim + (uint64_t)(size * 7.0));
    layer->layout = quash_tile_layout_of(s->dim, bits, bits);
    quash_rotation_init(&layer->rotation, s->dim, 1, 42, layer->signs);
    quash_quantizer_init(&layer->keys, context->kernels, &layer->rotation, bits, QUASH_SCALE_NORM,
                         2);
    quash_quantizer_init(&layer->values, context->kernels, &layer->rotation, bits,
                         QUASH_SCALE_UNBIASED, 2);
    test_rope_make(&layer->rope, s->layout, s->rotary_dim, 1e4, tokens);
    for (size_t h = 0; h < s->heads; h++) {
        struct quash_key_stats *const stats = &layer->stats[h];
        float mean[QUASH_HEAD_DIM_MAX];
        float scale[QUASH_HEAD_DIM_MAX];
        test_stats_make(stats, s->dim, &layer->rope.rope);
        test_random_stats(&rng, stats, s->pairs);
        for (size_t i = 0; i < s->dim; i++) {
            mean[i] = (float)size * stats->mean[i];
            scale[i] = sqrtf(stats->scale[i]);
        }
        /* The last head of three has none: heads differ. */
        quash_key_stats_set(stats, h == 2 ? NULL : mean, s->pairs, scaled ? scale : NULL);
    }
    layer->page_count = (tokens + 63) / 64;
    layer->page_bytes = layer->layout.bytes * s->heads;
    layer->pages = test_alloc((size_t)layer->page_count * sizeof *layer->pages);
    for (int64_t p = 0; p < layer->page_count; p++) {
        layer->pages[p] = test_aligned(layer->page_bytes);
        memset(layer->pages[p], 0, layer->page_bytes);
    }
    layer->tiles = (struct quash_tiles){ .context = context,
                                         .layout = &layer->layout,
                                         .keys = &layer->keys,
                                         .values = &layer->values,
                                         .kv_heads = (int32_t)s->heads,
                                         .pages = layer->pages,
                                         .stats = layer->stats };
}

static void layer_free(struct layer *layer) {
    for (int32_t h = 0; h < layer->tiles.kv_heads; h++) {
        test_stats_free(&layer->stats[h]);
    }
    for (int64_t p = 0; p < layer->page_count; p++) {
        free(layer->pages[p]);
    }
    free(layer->pages);
    free(layer->rope.memory);
}

/* Appends tokens in parts, so that tiles are filled whole and token by token. */
static void layer_append(struct layer *layer, const struct test_kv *kv) {
    size_t part = 50;
    for (size_t done = 0; done < kv->tokens; done += part) {
        part = kv->tokens - done < 300 ? kv->tokens - done : done == 0 ? 50 : 300;
        const quash_array keys = test_part(kv, kv->keys, done, part);
        const quash_array values = test_part(kv, kv->values, done, part);
        CHECK_EQ(quash_cpu_append(&layer->tiles, &keys, &values), QUASH_OK);
        layer->tiles.tokens += (int64_t)part;
    }
}

/* Relative rms error of the output rows, and the worst lse error. */
struct error {
    double out;
    double lse;
};

static struct error attend_error(const struct layer *layer, const struct shape *s, int32_t mode,
                                 const struct test_kv *decoded, const float *queries) {
    const size_t rows = s->heads * s->group * s->q_len;
    float *const out = test_alloc(rows * s->dim * sizeof *out);
    float *const lse = test_alloc(rows * sizeof *lse);
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    void *const workspace =
        test_aligned(quash_cpu_attend_workspace(layer->tiles.context, &layer->layout, true));
    const int64_t heads = (int64_t)(s->heads * s->group);
    const int64_t q_len = (int64_t)s->q_len;
    const int64_t dim = (int64_t)s->dim;
    const quash_array q = quash_array_view(queries, QUASH_F32, 3, heads, q_len, dim);
    const quash_array o = quash_array_view(out, QUASH_F32, 3, heads, q_len, dim);
    const quash_array l = quash_array_view(lse, QUASH_F32, 2, heads, q_len, 0);
    params.mode = mode;
    CHECK_EQ(quash_cpu_attend(&layer->tiles, &params, &q, &o, &l, workspace), QUASH_OK);
    const struct attend_oracle oracle = attend_oracle_make(decoded, 0.0f);
    struct error error = { 0.0, 0.0 };
    double norm = 0.0;
    for (size_t row = 0; row < rows; row++) {
        double expected[QUASH_HEAD_DIM_MAX];
        const double sum =
            attend_oracle_row(&oracle, row / s->q_len / s->group, queries + row * s->dim,
                              decoded->tokens - s->q_len + row % s->q_len + 1, expected);
        for (size_t i = 0; i < s->dim; i++) {
            const double off = (double)out[row * s->dim + i] - expected[i];
            error.out += off * off;
            norm += expected[i] * expected[i];
        }
        error.lse = fmax(error.lse, fabs((double)lse[row] - sum) / (1.0 + fabs(sum)));
    }
    error.out = sqrt(error.out / norm);
    free(oracle.weights);
    free(workspace);
    free(out);
    free(lse);
    return error;
}

/* Queries whose scores with the decoded keys have standard deviation 1, about. */
static float *make_queries(const struct shape *s, const struct test_kv *decoded) {
    const size_t n = s->heads * s->group * s->q_len * s->dim;
    float *const queries = test_alloc(n * sizeof *queries);
    struct test_rng rng = test_rng_start(s->dim);
    const double square = test_dot(decoded->keys, decoded->keys, test_kv_size(decoded)) /
                          (double)test_kv_size(decoded);
    test_fill_gaussian(&rng, queries, n);
    for (size_t i = 0; i < n; i++) {
        queries[i] = (float)((double)queries[i] / sqrt(square));
    }
    return queries;
}

/* Errors per mode; bytes of the codes go to sum. Returns how much larger than the keys, whose
 * coordinates have variance 1, is what is coded, keys minus mean. */
static double measure(quash_context *context, const struct shape *s, int32_t bits, double size,
                      bool scaled, size_t tokens, struct error *errors, uint64_t *sum) {
    struct layer *const layer = test_alloc(sizeof *layer);
    struct test_kv kv = test_kv_make(s->dim, s->heads, tokens, s->dim);
    struct test_kv decoded = { s->heads, tokens, s->dim, NULL, NULL };
    decoded.keys = test_alloc(test_kv_size(&kv) * sizeof(float));
    decoded.values = test_alloc(test_kv_size(&kv) * sizeof(float));
    layer_make(layer, context, s, bits, size, scaled, (int64_t)tokens);
    layer_append(layer, &kv);
    for (int64_t p = 0; p < layer->page_count; p++) {
        for (size_t i = 0; i < layer->page_bytes; i++) {
            *sum = quash_rng_mix(*sum + layer->pages[p][i]);
        }
    }
    const quash_array keys = test_part(&decoded, decoded.keys, 0, tokens);
    const quash_array values = test_part(&decoded, decoded.values, 0, tokens);
    CHECK_EQ(quash_cpu_decode_tiles(&layer->tiles, 1, 0, &keys), QUASH_OK);
    CHECK_EQ(quash_cpu_decode_tiles(&layer->tiles, 0, 0, &values), QUASH_OK);
    double mean_energy = 0.0;
    for (size_t h = 0; h < s->heads; h++) {
        mean_energy += test_dot(layer->stats[h].mean, layer->stats[h].mean, s->dim);
    }
    const double larger = sqrt(1.0 + mean_energy / (double)(s->heads * s->dim));
    float *const queries = make_queries(s, &decoded);
    for (int32_t mode = QUASH_ATTEND_FAST; mode <= QUASH_ATTEND_FLOAT; mode++) {
        errors[mode] = attend_error(layer, s, mode, &decoded, queries);
    }
    /* And the decoded keys are the keys: without a scale the error is that of what was coded,
     * as of Gaussian rows whose norm is kept. (Where the mean is most of it all rows are one.) */
    static const double gaussian[] = { 0.122, 0.0355, 0.0097 };
    if (!scaled && size <= 1.0) {
        CHECK(test_squared_error(kv.keys, decoded.keys, test_kv_size(&kv)) <=
              gaussian[bits - 2] * larger * larger * (double)test_kv_size(&kv));
    }
    layer_free(layer);
    free(layer);
    free(queries);
    test_kv_free(&kv);
    test_kv_free(&decoded);
    return larger;
}

/* The bars of attention without statistics (test_attend_modes.c), times how much larger what is
 * coded is than the keys: rounding errors are in proportion. */
static void check_case(quash_context *context, const struct shape *s, int32_t bits, double size,
                       bool scaled, size_t tokens, uint64_t *sum) {
    struct error errors[3];
    const double larger = measure(context, s, bits, size, scaled, tokens, errors, sum);
    printf(
        "     d %3zu of %3zu, %d bits, mean %.0f%s: fast %.1e (lse %.0e), exact %.1e (%.0e), float "
        "%.1e (%.0e)\n",
        s->rotary_dim, s->dim, (int)bits, size, scaled ? ", scale" : "", errors[0].out,
        errors[0].lse, errors[1].out, errors[1].lse, errors[2].out, errors[2].lse);
    CHECK(errors[QUASH_ATTEND_FAST].out <= 3e-2 * larger);
    CHECK(errors[QUASH_ATTEND_EXACT].out <= 2e-4 * larger);
    CHECK(errors[QUASH_ATTEND_FLOAT].out <= ATTEND_BOUND * larger);
    CHECK(errors[QUASH_ATTEND_EXACT].lse <= 1e-5 * larger);
    CHECK(errors[QUASH_ATTEND_FLOAT].lse <= ATTEND_BOUND * larger);
}

int main(void) {
    uint64_t first_sum = 0;
    for (int level = 0; level < QUASH_CPU_LEVELS; level++) {
        const char *const name = quash_cpu_level_name((enum quash_cpu_level)level);
        uint64_t sum = 1;
        if (!test_level((enum quash_cpu_level)level)) {
            continue;
        }
        CHECK_EQ(setenv("QUASH_CPU", name, 1), 0);
        quash_context *const context = test_context(NULL);
        for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(means); i++) {
            const struct shape *const s = &shapes[i / COUNT_OF(means)];
            check_case(context, s, 2 + (int32_t)(i % 3), means[(i + i / 3) % COUNT_OF(means)],
                       i % 2 == 0, 1000, &sum);
        }
        check_case(context, &shapes[0], 4, 1.0, true, 33000, &sum);
        quash_context_free(context);
        first_sum = first_sum == 0 ? sum : first_sum;
        CHECK(sum == first_sum);
    }
    return test_report();
}
