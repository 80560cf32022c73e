/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_theory.c: `quash theory`: the paper's bounds, the exact theory of the levels, and what this
 * library measures, side by side. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { QUERIES = 64, ROWS_MIN = 64, NUMBERS = 1 << 18 };

struct theory_options {
    struct args_ints dims, bits;
    int32_t search_level;
    uint64_t seed;
    bool json;
};

/* Random rows of one dimension, all of length 1, and room for what is measured on them. */
struct sample {
    quash_context *context;
    int64_t dim, rows;
    float *x;                        /* (rows, dim) */
    float *decoded;                  /* (rows, dim) */
    float *queries;                  /* (QUERIES, dim) */
    float *rotated;                  /* (QUERIES, dim) */
    uint8_t *codes, *signs;          /* (rows, dim) */
    float *norms, *residuals, *dots; /* (rows) */
};

/* SplitMix64: the sample is the same on every machine but for libm's log and cos. */
static double uniform(uint64_t *state) {
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53 + 0x1p-54;
}

/* Directions are uniform on the sphere. */
static void fill_directions(float *out, int64_t rows, int64_t dim, uint64_t *state) {
    for (int64_t r = 0; r < rows; r++, out += dim) {
        double norm = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const double radius = sqrt(-2.0 * log(uniform(state)));
            out[i] = (float)(radius * cos(6.283185307179586 * uniform(state)));
            norm += (double)out[i] * (double)out[i];
        }
        for (int64_t i = 0; i < dim; i++) {
            out[i] = (float)((double)out[i] / sqrt(norm));
        }
    }
}

static void sample_free(struct sample *sample) {
    free(sample->x);
    free(sample->decoded);
    free(sample->queries);
    free(sample->rotated);
    free(sample->codes);
    free(sample->signs);
    free(sample->norms);
    free(sample->residuals);
    free(sample->dots);
}

static int sample_make(struct sample *sample, quash_context *context, int64_t dim, uint64_t seed,
                       struct tool_error *error) {
    memset(sample, 0, sizeof *sample);
    sample->context = context;
    sample->dim = dim;
    sample->rows = NUMBERS / dim > ROWS_MIN ? NUMBERS / dim : ROWS_MIN;
    const size_t numbers = (size_t)(sample->rows * dim);
    const size_t query_numbers = (size_t)(QUERIES * dim);
    sample->x = malloc(numbers * sizeof(float));
    sample->decoded = malloc(numbers * sizeof(float));
    sample->queries = malloc(query_numbers * sizeof(float));
    sample->rotated = malloc(query_numbers * sizeof(float));
    sample->codes = malloc(numbers);
    sample->signs = malloc(numbers);
    sample->norms = malloc((size_t)sample->rows * sizeof(float));
    sample->residuals = malloc((size_t)sample->rows * sizeof(float));
    sample->dots = malloc((size_t)sample->rows * sizeof(float));
    if (sample->x == NULL || sample->decoded == NULL || sample->queries == NULL ||
        sample->rotated == NULL || sample->codes == NULL || sample->signs == NULL ||
        sample->norms == NULL || sample->residuals == NULL || sample->dots == NULL) {
        sample_free(sample);
        return tool_fail_memory(error, "the sample");
    }
    uint64_t state = seed * UINT64_C(0xD1342543DE82EF95) + (uint64_t)dim;
    fill_directions(sample->x, sample->rows, dim, &state);
    fill_directions(sample->queries, QUERIES, dim, &state);
    return TOOL_OK;
}

static quash_array matrix(const void *data, quash_dtype dtype, int64_t rows, int64_t dim) {
    return quash_array_view(data, dtype, 2, rows, dim, 0);
}

static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

/* Encodes and decodes the sample; *nmse is of the rows, *product of their inner products with the
 * queries, times dim. */
static int measure_codec(struct sample *s, int32_t bits, int32_t policy, int32_t level,
                         uint64_t seed, double *nmse, double *product, struct tool_error *error) {
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    params.dim = (int32_t)s->dim;
    params.bits = bits;
    params.scale_policy = policy;
    params.search_level = level;
    params.seed = seed;
    quash_codec *codec = NULL;
    const quash_array x = matrix(s->x, QUASH_F32, s->rows, s->dim);
    const quash_array decoded = matrix(s->decoded, QUASH_F32, s->rows, s->dim);
    const quash_array codes = matrix(s->codes, QUASH_U8, s->rows, s->dim);
    quash_status status = quash_codec_create(&codec, s->context, &params);
    if (status == QUASH_OK) {
        status = quash_encode_codes(codec, &x, &codes, s->norms);
    }
    if (status == QUASH_OK) {
        status = quash_decode_codes(codec, &codes, s->norms, &decoded);
    }
    quash_codec_free(codec);
    if (status != QUASH_OK) {
        return tool_fail_library(error, "theory", status, TOOL_USAGE);
    }
    *nmse = 0.0;
    *product = 0.0;
    for (int64_t r = 0; r < s->rows; r++) {
        float *const miss = s->decoded + r * s->dim;
        for (int64_t i = 0; i < s->dim; i++) {
            miss[i] -= s->x[r * s->dim + i];
        }
        *nmse += dot(miss, miss, s->dim) / (double)s->rows;
        for (int64_t q = 0; q < QUERIES; q++) {
            const double e = dot(miss, s->queries + q * s->dim, s->dim);
            *product += e * e * (double)s->dim / (double)(s->rows * QUERIES);
        }
    }
    return TOOL_OK;
}

/* Squared error of the inner-product quantizer over all pairs, times dim. */
static quash_status sum_product_errors(struct sample *s, const quash_product *quantizer,
                                       double *error) {
    const quash_array x = matrix(s->x, QUASH_F32, s->rows, s->dim);
    const quash_array queries = matrix(s->queries, QUASH_F32, QUERIES, s->dim);
    const quash_array rotated = matrix(s->rotated, QUASH_F32, QUERIES, s->dim);
    const quash_array codes = matrix(s->codes, QUASH_U8, s->rows, s->dim);
    const quash_array signs = matrix(s->signs, QUASH_U8, s->rows, s->dim);
    quash_status status =
        quash_product_encode(quantizer, &x, &codes, &signs, s->norms, s->residuals);
    if (status == QUASH_OK) {
        status = quash_product_rotate(quantizer, 0, &queries, &rotated);
    }
    for (int64_t q = 0; status == QUASH_OK && q < QUERIES; q++) {
        quash_array one = matrix(s->rotated + q * s->dim, QUASH_F32, s->rows, s->dim);
        one.stride[0] = 0; /* the same query for every row */
        status =
            quash_product_dot(quantizer, &codes, &signs, s->norms, s->residuals, &one, s->dots);
        for (int64_t r = 0; status == QUASH_OK && r < s->rows; r++) {
            const double e =
                (double)s->dots[r] - dot(s->x + r * s->dim, s->queries + q * s->dim, s->dim);
            *error += e * e * (double)s->dim / (double)(s->rows * QUERIES);
        }
    }
    return status;
}

static int measure_product(struct sample *s, int32_t bits, uint64_t seed, double *product,
                           struct tool_error *error) {
    quash_product_params params = QUASH_PRODUCT_PARAMS_INIT;
    params.dim = (int32_t)s->dim;
    params.bits = bits;
    params.seed = seed;
    quash_product *quantizer = NULL;
    quash_status status = quash_product_create(&quantizer, s->context, &params);
    *product = 0.0;
    if (status == QUASH_OK) {
        status = sum_product_errors(s, quantizer, product);
    }
    quash_product_free(quantizer);
    return status == QUASH_OK ? TOOL_OK : tool_fail_library(error, "theory", status, TOOL_USAGE);
}

/* One line of the table. */
static int run_bits(struct sample *s, const struct theory_options *o, int32_t bits,
                    struct table *table, struct tool_error *error) {
    const int32_t dim = (int32_t)s->dim;
    double levels[16];
    double best;
    double least[2];
    double unbiased[2];
    double algorithm2 = 0.0;
    if (quash_codebook_solve(dim, bits, levels, &best) != QUASH_OK) {
        return tool_fail_library(error, "theory", QUASH_ERROR_ARGUMENT, TOOL_USAGE);
    }
    int code = measure_codec(s, bits, QUASH_SCALE_LEAST_SQUARES, o->search_level, o->seed,
                             &least[0], &least[1], error);
    if (code == TOOL_OK) {
        code = measure_codec(s, bits, QUASH_SCALE_UNBIASED, o->search_level, o->seed, &unbiased[0],
                             &unbiased[1], error);
    }
    if (code == TOOL_OK) {
        code = measure_product(s, bits, o->seed, &algorithm2, error);
    }
    const double cells[] = {
        dim,
        bits,
        quash_theory_mse_lower_bound(bits),
        best,
        least[0],
        quash_theory_mse_bound(bits),
        dim * quash_theory_product_lower_bound(dim, bits),
        unbiased[1],
        dim * quash_theory_product_variance(dim, bits),
        algorithm2,
        dim * quash_theory_product_bound(dim, bits),
    };
    for (size_t i = 0; code == TOOL_OK && i < sizeof cells / sizeof cells[0]; i++) {
        code = table_number(table, cells[i], error);
    }
    return code;
}

static int run_all(const struct theory_options *o, quash_context *context, struct table *table,
                   struct tool_error *error) {
    struct progress progress;
    int64_t done = 0;
    int code = TOOL_OK;
    progress_start(&progress, "quantizers", (int64_t)o->dims.count * o->bits.count);
    for (int d = 0; code == TOOL_OK && d < o->dims.count; d++) {
        struct sample sample;
        code = sample_make(&sample, context, o->dims.value[d], o->seed, error);
        if (code != TOOL_OK) {
            break;
        }
        for (int b = 0; code == TOOL_OK && b < o->bits.count; b++) {
            code = run_bits(&sample, o, o->bits.value[b], table, error);
            progress_update(&progress, ++done);
        }
        sample_free(&sample);
    }
    progress_end(&progress);
    return code;
}

static void print_json(const struct theory_options *o, const struct table *table) {
    struct json json;
    json_start(&json, stdout);
    json_object(&json, NULL);
    json_text(&json, "command", "theory");
    json_int(&json, "search_level", o->search_level);
    json_u64(&json, "seed", o->seed);
    table_json(table, &json, "results", 0, table->rows);
    json_close_object(&json);
}

static int run(const struct theory_options *o, struct tool_error *error) {
    static const struct table_column columns[] = {
        { "dim", "", "dim", 0, false },
        { "bits", "", "bits", 0, false },
        { "nMSE", "no less", "nmse_lower_bound", 4, false },
        { "nMSE", "theory", "nmse_theory", 4, false },
        { "nMSE", "measured", "nmse_measured", 4, false },
        { "nMSE", "bound", "nmse_bound", 4, false },
        { "q.x err", "no less", "product_lower_bound_times_dim", 4, false },
        { "q.x err", "unbiased", "product_unbiased_times_dim", 4, false },
        { "q.x err", "Alg2 thy", "product_algorithm2_theory_times_dim", 4, false },
        { "q.x err", "Alg2", "product_algorithm2_times_dim", 4, false },
        { "q.x err", "bound", "product_bound_times_dim", 4, false },
    };
    quash_context *context = NULL;
    struct table table;
    table_start(&table, columns, sizeof columns / sizeof columns[0], false);
    int code = tool_context(&context, 0, error);
    if (code == TOOL_OK) {
        code = run_all(o, context, &table, error);
    }
    if (code == TOOL_OK) {
        if (o->json) {
            print_json(o, &table);
        } else {
            table_print(&table, stdout);
        }
    }
    table_free(&table);
    quash_context_free(context);
    return code;
}

int cmd_theory(int argc, char **argv, struct tool_error *error) {
    struct theory_options o = { .dims = { 7, { 64, 128, 256, 512, 1024, 2048, 4096 } },
                                .bits = { 4, { 1, 2, 3, 4 } },
                                .seed = 42 };
    const struct args_option options[] = {
        { "dims", 'd', ARGS_INTS, &o.dims, 2, QUASH_PRODUCT_DIM_MAX, NULL, "LIST",
          "dimensions (default 64,128,256,512,1024,2048,4096)" },
        { "bits", 'b', ARGS_INTS, &o.bits, 1, 4, NULL, "LIST",
          "bits per number (default 1,2,3,4)" },
        { "search-level", 0, ARGS_INT, &o.search_level, 0, 2, NULL, "N",
          "step sizes tried per vector: 0 = 1, 1 = 3, 2 = 5\n(default 0)" },
        { "seed", 0, ARGS_U64, &o.seed, 0, 0, NULL, "N",
          "of the sample and of the quantizers (default 42)" },
        ARGS_JSON(&o.json),
    };
    const struct args_command command = {
        .name = "theory",
        .purpose = "Prints the paper's bounds, the theory and what is measured, side by side.",
        .synopsis = "[OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes =
            "The sample is random directions x of length 1, at least 64, and 64 queries q of\n"
            "length 1. nMSE is the squared error over the squared norm: what no quantizer can\n"
            "beat, the best levels for a random direction, ours with least-squares scales, and\n"
            "the paper's upper bound sqrt(3)*pi/2 * 4^-bits. q.x err is the mean squared error of\n"
            "the estimated inner product, times dim: the lower bound, ours with unbiased scales,\n"
            "theory and measurement of the paper's inner-product quantizer (Algorithm 2), and its\n"
            "upper bound sqrt(3)*pi^2 * 4^-bits. The default takes about 20 seconds.\n",
        .examples = "  quash theory --dims 64,128\n"
                    "  quash theory --dims 96 --bits 4 --search-level 2 --json\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 0, 0, "", error);
    return code != TOOL_OK ? code : run(&o, error);
}
