/* SPDX-License-Identifier: Apache-2.0 */
/* make_golden.c: writes the golden files of the formats (doc/format.md) into a folder.
 *
 *     golden_make FOLDER
 *
 * For each case of rows: NAME.qrows, the rows file; NAME.in.f32, the rows it was made from;
 * NAME.out.f32, what it decodes to. For each case of an index: NAME.in.f32, its vectors;
 * NAME.queries.f32; NAME.scores.f32 and NAME.ids.i64, all vectors as they rank. manifest.json lists
 * the cases. Inputs come from integers only, so that every machine
 * writes the same bytes: tests/golden/check_golden.py compares them with tests/golden/vectors. */
#include <inttypes.h>
#include <quash/quash.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the rows of a case look like. */
enum kind {
    GAUSS, /* nearly Gaussian, variance 1 */
    BYTES, /* integers 0..255 */
    EDGES, /* zero, -0, one-hot, constant, two opposite, subnormal beside 1, steps, alternating */
    LARGE, /* up to 3e38; the last row has the largest binary32 in every other place */
    TINY,  /* about 1e-40; the last row has a single smallest subnormal */
    HALF,  /* scales around the largest and the smallest binary16 */
    TIES   /* dim 2, one round, seed 42: a coordinate falls on a threshold exactly */
};

static const char *const kind_names[] = {
    "gauss", "bytes", "edges", "large", "tiny", "half", "ties"
};
static const char *const policy_names[] = { "least-squares", "norm", "unbiased", "raw-norm" };

struct golden_case {
    enum kind kind;
    int32_t rows;
    int32_t dim;
    int32_t bits;
    int32_t policy;
    int32_t dtype;
    int32_t level;
    int32_t rounds;
    uint64_t seed;
};

#define LS QUASH_SCALE_LEAST_SQUARES
#define NORM QUASH_SCALE_NORM
#define EDEN QUASH_SCALE_UNBIASED
#define RAW QUASH_SCALE_RAW_NORM
#define F32 QUASH_F32
#define F16 QUASH_F16

static const struct golden_case cases[] = {
    { GAUSS, 4, 1, 1, LS, F32, 0, 1, 42 },
    { GAUSS, 4, 1, 4, EDEN, F16, 2, 2, 7 },
    { EDGES, 8, 2, 2, NORM, F32, 1, 2, 42 },
    { GAUSS, 6, 2, 3, LS, F32, 2, 1, 0 },
    { EDGES, 8, 3, 3, EDEN, F32, 2, 2, 42 },
    { GAUSS, 6, 3, 1, RAW, F16, 0, 1, 1 },
    { EDGES, 8, 5, 3, LS, F32, 1, 2, 42 },
    { GAUSS, 6, 5, 4, NORM, F16, 2, 2, 99 },
    { EDGES, 8, 8, 4, LS, F32, 2, 1, 42 },
    { EDGES, 8, 8, 1, EDEN, F16, 0, 2, 42 },
    { TINY, 5, 8, 2, NORM, F32, 1, 2, 3 },
    { LARGE, 5, 8, 3, EDEN, F32, 2, 1, 3 },
    { GAUSS, 6, 31, 3, LS, F32, 2, 2, 42 },
    { EDGES, 8, 31, 2, RAW, F32, 1, 2, 5 },
    { GAUSS, 6, 48, 4, NORM, F16, 2, 1, 42 },
    { EDGES, 8, 48, 1, LS, F32, 2, 2, 42 },
    { HALF, 10, 64, 4, LS, F16, 0, 2, 42 },
    { GAUSS, 6, 64, 2, NORM, F16, 2, 1, 42 },
    { EDGES, 8, 64, 3, EDEN, F32, 0, 1, UINT64_C(0xFFFFFFFFFFFFFFFF) },
    { TINY, 5, 64, 4, LS, F16, 1, 2, 42 },
    { GAUSS, 4, 80, 3, NORM, F16, 2, 1, 42 },
    { GAUSS, 4, 80, 2, EDEN, F16, 2, 1, 42 },
    { EDGES, 8, 96, 4, LS, F32, 2, 2, 42 },
    { LARGE, 5, 96, 1, LS, F32, 0, 2, 11 },
    { GAUSS, 4, 100, 2, LS, F32, 0, 2, 42 },
    { TINY, 5, 100, 3, RAW, F32, 0, 2, 42 },
    { GAUSS, 4, 112, 4, EDEN, F16, 2, 1, 42 },
    { GAUSS, 4, 112, 3, NORM, F16, 1, 1, 42 },
    { GAUSS, 6, 128, 4, LS, F32, 0, 2, 42 },
    { GAUSS, 6, 128, 4, NORM, F16, 2, 1, 42 },
    { GAUSS, 6, 128, 3, EDEN, F16, 2, 1, 42 },
    { GAUSS, 6, 128, 2, RAW, F32, 1, 2, UINT64_C(0x0123456789ABCDEF) },
    { BYTES, 6, 128, 4, EDEN, F32, 0, 2, 42 },
    { EDGES, 8, 128, 1, NORM, F32, 0, 2, 42 },
    { LARGE, 5, 128, 4, NORM, F32, 2, 2, 42 },
    { HALF, 10, 128, 2, NORM, F16, 2, 1, 42 },
    { GAUSS, 4, 192, 4, LS, F32, 1, 2, 42 },
    { BYTES, 4, 192, 2, EDEN, F32, 0, 2, 42 },
    { GAUSS, 2, 576, 3, NORM, F16, 2, 1, 42 },
    { GAUSS, 2, 576, 4, EDEN, F16, 2, 1, 42 },
    { GAUSS, 2, 1000, 4, LS, F32, 0, 2, 42 },
    { BYTES, 2, 1000, 1, EDEN, F32, 1, 2, 42 },
    { GAUSS, 2, 1536, 4, EDEN, F32, 0, 2, 42 },
    { GAUSS, 1, 1536, 2, LS, F16, 2, 2, 8 },
    { TIES, 10, 2, 2, LS, F32, 0, 1, 42 },
    { TIES, 10, 2, 3, LS, F32, 0, 1, 42 },
    { TIES, 10, 2, 4, LS, F32, 0, 1, 42 },
    { TIES, 10, 2, 2, LS, F32, 2, 1, 42 },
    { TIES, 10, 2, 3, LS, F32, 2, 1, 42 },
    { TIES, 10, 2, 4, LS, F32, 2, 1, 42 },
    { GAUSS, 0, 16384, 3, LS, F32, 0, 2, 42 },
};

#define CASES (sizeof cases / sizeof cases[0])
#define ROWS_MAX 10
#define DIM_MAX 1536

/* ---- Failing
 * ---------------------------------------------------------------------------------- */

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "golden_make: %s: %s\n", what, detail);
    exit(1);
}

static void must(quash_status status, const char *what) {
    if (status != QUASH_OK) {
        fail(what, quash_last_message());
    }
}

/* ---- Inputs
 * ----------------------------------------------------------------------------------- */

/* SplitMix64, as in doc/format.md, "Random words", but one stream. */
static uint64_t next_word(uint64_t *state) {
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* The sum of twelve uniform numbers, less its mean: a multiple of 2^-17, exact in binary32. */
static float gauss(uint64_t *state) {
    int32_t sum = 0;
    for (int i = 0; i < 3; i++) {
        const uint64_t word = next_word(state);
        sum += (int32_t)(word & 0xFFFF) + (int32_t)(word >> 16 & 0xFFFF) +
               (int32_t)(word >> 32 & 0xFFFF) + (int32_t)(word >> 48);
    }
    return (float)(2 * sum - 12 * 65535) / 131072.0f;
}

/* A multiple of 2^-24 in [0, 1). */
static float uniform(uint64_t *state) {
    return (float)(next_word(state) >> 40) / 16777216.0f;
}

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float edge_value(int32_t row, int32_t column, int32_t dim, uint64_t *state) {
    switch (row) {
    case 0: return 0.0f;
    case 1: return -0.0f;
    case 2: return column == dim / 3 ? -2.5f : 0.0f;
    case 3: return 1.0f;
    case 4: return column == 0 ? 3.0f : (column == dim - 1 ? -3.0f : -0.0f);
    case 5: return column % 2 == 0 ? from_bits(1u + (uint32_t)column) : -1.0f;
    case 6: return (float)(column + 1) * (next_word(state) % 2 == 0 ? 1.0f : -1.0f);
    default: return column % 2 == 0 ? 0.75f : -0.75f;
    }
}

/* Rows whose scale is near the largest binary16, in the middle, and from its smallest normal number
 * down to where it rounds to 0. */
static float half_value(int32_t row, uint64_t *state) {
    static const float sizes[ROWS_MAX] = { 55000.0f, 60000.0f, 1.0f,     1e-4f,    0x1p-14f,
                                           0x1p-20f, 0x1p-23f, 0x1p-24f, 0x1p-25f, 0x1p-27f };
    return sizes[row] * (next_word(state) % 2 == 0 ? 1.0f : -1.0f) *
           (0.96875f + uniform(state) / 16.0f);
}

/* Found by search over integers; which row hits which bits and search level differs. */
static float ties_value(int32_t row, int32_t column) {
    static const float pairs[ROWS_MAX][2] = { { 117.0f, 6476.0f },  { 6476.0f, 117.0f },
                                              { 271.0f, 1848.0f },  { 1848.0f, 271.0f },
                                              { 1590.0f, 3507.0f }, { 239.0f, 2314.0f },
                                              { 2314.0f, 239.0f },  { 536.0f, 5185.0f },
                                              { 275.0f, 5026.0f },  { 5026.0f, 275.0f } };
    return pairs[row][column];
}

static float large_value(int32_t row, int32_t rows, int32_t column, uint64_t *state) {
    if (row == rows - 1) {
        return column % 2 == 0 ? from_bits(0x7F7FFFFFu) : 0.0f;
    }
    const float spread = 2.0f * uniform(state) - 1.0f;
    return row == 0 && column > 0 ? spread : spread * 3e38f;
}

static float tiny_value(int32_t row, int32_t rows, int32_t column, uint64_t *state) {
    if (row == rows - 1) {
        return from_bits(column == 0 ? 1u : 0u);
    }
    const uint32_t sign = next_word(state) % 2 == 0 ? 0u : 0x80000000u;
    const uint32_t largest = row == 0 ? 0x00FFFFFFu : 0x00011FFFu >> 4 * (row - 1);
    return from_bits(sign | (uint32_t)(next_word(state) % largest));
}

static void fill(const struct golden_case *c, uint64_t stream, float *rows) {
    uint64_t state = UINT64_C(0x676F6C64656E0000) + stream;
    for (int32_t row = 0; row < c->rows; row++) {
        for (int32_t column = 0; column < c->dim; column++) {
            float *const x = &rows[row * c->dim + column];
            switch (c->kind) {
            case GAUSS: *x = gauss(&state); break;
            case BYTES: *x = (float)(next_word(&state) >> 56); break;
            case EDGES: *x = edge_value(row, column, c->dim, &state); break;
            case LARGE: *x = large_value(row, c->rows, column, &state); break;
            case TINY: *x = tiny_value(row, c->rows, column, &state); break;
            case TIES: *x = ties_value(row, column); break;
            case HALF: *x = half_value(row, &state); break;
            }
        }
    }
}

/* ---- Output
 * ----------------------------------------------------------------------------------- */

static FILE *open_in(const char *folder, const char *name, const char *suffix) {
    char path[1024];
    const int length = snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    FILE *const file = length < (int)sizeof path ? fopen(path, "wb") : NULL;
    if (file == NULL) {
        fail(path, "cannot be written");
    }
    return file;
}

static void write_file(const char *folder, const char *name, const char *suffix, const void *data,
                       size_t size) {
    FILE *const file = open_in(folder, name, suffix);
    const bool written = fwrite(data, 1, size, file) == size;
    if (fclose(file) != 0 || !written) {
        fail(name, "cannot be written");
    }
}

static quash_codec *create_codec(quash_context *context, const struct golden_case *c) {
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    params.dim = c->dim;
    params.bits = c->bits;
    params.scale_policy = c->policy;
    params.scale_dtype = c->dtype;
    params.search_level = c->level;
    params.rotation_rounds = c->rounds;
    params.seed = c->seed;
    quash_codec *codec = NULL;
    must(quash_codec_create(&codec, context, &params), "codec");
    return codec;
}

static void write_entry(FILE *manifest, const struct golden_case *c, const char *name, uint32_t crc,
                        bool last) {
    fprintf(manifest,
            "  {\"name\": \"%s\", \"kind\": \"%s\", \"rows\": %d, \"dim\": %d, \"bits\": %d,\n"
            "   \"policy\": \"%s\", \"scale\": \"%s\", \"search_level\": %d, \"rounds\": %d,"
            " \"seed\": %" PRIu64 ",\n   \"crc32c\": \"%08" PRIX32 "\"}%s\n",
            name, kind_names[c->kind], (int)c->rows, (int)c->dim, (int)c->bits,
            policy_names[c->policy], c->dtype == QUASH_F16 ? "f16" : "f32", (int)c->level,
            (int)c->rounds, c->seed, crc, last ? "" : ",");
}

/* The three files of a case, and its entry of the manifest: the checksum is of the whole .qrows. */
static void make_case(quash_context *context, size_t index, const char *folder, FILE *manifest) {
    static float input[ROWS_MAX * DIM_MAX];
    static float output[ROWS_MAX * DIM_MAX];
    static uint8_t
        bytes[QUASH_ROWS_HEADER_BYTES + ROWS_MAX * (DIM_MAX + 4) + QUASH_ROWS_TRAILER_BYTES];
    const struct golden_case *const c = &cases[index];
    quash_codec *const codec = create_codec(context, c);
    const size_t codes_bytes = (size_t)c->rows * quash_codec_row_bytes(codec);
    uint8_t *const codes = bytes + QUASH_ROWS_HEADER_BYTES;
    char name[64];
    (void)snprintf(name, sizeof name, "%02d-%s-%db-%d", (int)index, kind_names[c->kind],
                   (int)c->bits, (int)c->dim);

    fill(c, index, input);
    const quash_array in = quash_array_view(input, QUASH_F32, 2, c->rows, c->dim, 0);
    const quash_array out = quash_array_view(output, QUASH_F32, 2, c->rows, c->dim, 0);
    must(quash_rows_header_write(codec, c->rows, bytes), name);
    must(quash_encode(codec, &in, codes, codes_bytes), name);
    quash_rows_trailer_write(quash_crc32c(0, codes, codes_bytes), codes + codes_bytes);
    must(quash_decode(codec, codes, codes_bytes, &out), name);

    const size_t size = QUASH_ROWS_HEADER_BYTES + codes_bytes + QUASH_ROWS_TRAILER_BYTES;
    const size_t floats = (size_t)c->rows * (size_t)c->dim * sizeof(float);
    write_file(folder, name, ".qrows", bytes, size);
    write_file(folder, name, ".in.f32", input, floats);
    write_file(folder, name, ".out.f32", output, floats);
    write_entry(manifest, c, name, quash_crc32c(0, bytes, size), index + 1 == CASES);
    quash_codec_free(codec);
}

/* ---- Index
 * ------------------------------------------------------------------------------------ */

#define INDEX_ROWS 24
#define INDEX_QUERIES 3

static const char *const metric_names[] = { "ip", "cosine", "l2" };

struct index_case {
    int32_t metric;
    int32_t dim;
    int32_t bits;
    int32_t level;
    int32_t centre_rows; /* more than INDEX_ROWS: the vectors stay uncompressed */
};

static const struct index_case index_cases[] = {
    { QUASH_METRIC_IP, 40, 4, 0, 16 },     { QUASH_METRIC_COSINE, 33, 3, 1, 24 },
    { QUASH_METRIC_L2, 64, 2, 2, 10 },     { QUASH_METRIC_L2, 7, 1, 0, 1 },
    { QUASH_METRIC_COSINE, 17, 4, 0, 25 }, { QUASH_METRIC_L2, 17, 4, 0, 25 },
};

#define INDEX_CASES (sizeof index_cases / sizeof index_cases[0])

/* Not centred, so that the centre matters. */
static void fill_index(uint64_t stream, float *x, size_t n) {
    uint64_t state = UINT64_C(0x696E646578000000) + stream;
    for (size_t i = 0; i < n; i++) {
        x[i] = gauss(&state) + 0.5f;
    }
}

static void make_index_case(quash_context *context, size_t number, const char *folder,
                            FILE *manifest) {
    static float rows[INDEX_ROWS * DIM_MAX];
    static float queries[INDEX_QUERIES * DIM_MAX];
    static float scores[INDEX_QUERIES * INDEX_ROWS];
    static int64_t ids[INDEX_QUERIES * INDEX_ROWS];
    const struct index_case *const c = &index_cases[number];
    char name[64];
    (void)snprintf(name, sizeof name, "index-%d-%s-%db-%d", (int)number, metric_names[c->metric],
                   (int)c->bits, (int)c->dim);
    fill_index(2 * number, rows, (size_t)c->dim * INDEX_ROWS);
    fill_index(2 * number + 1, queries, (size_t)c->dim * INDEX_QUERIES);

    quash_index_params params = QUASH_INDEX_PARAMS_INIT;
    params.dim = c->dim;
    params.bits = c->bits;
    params.metric = c->metric;
    params.search_level = c->level;
    params.centre_rows = c->centre_rows;
    quash_index *index = NULL;
    must(quash_index_create(&index, context, &params), name);
    const quash_array in = quash_array_view(rows, QUASH_F32, 2, INDEX_ROWS, c->dim, 0);
    const quash_array asked = quash_array_view(queries, QUASH_F32, 2, INDEX_QUERIES, c->dim, 0);
    must(quash_index_add(index, &in), name);
    must(quash_index_search(index, &asked, INDEX_ROWS, scores, ids), name);
    quash_index_free(index);

    const size_t row_bytes = (size_t)c->dim * sizeof(float);
    write_file(folder, name, ".in.f32", rows, INDEX_ROWS * row_bytes);
    write_file(folder, name, ".queries.f32", queries, INDEX_QUERIES * row_bytes);
    write_file(folder, name, ".scores.f32", scores, sizeof scores);
    write_file(folder, name, ".ids.i64", ids, sizeof ids);
    fprintf(manifest,
            "  {\"name\": \"%s\", \"metric\": \"%s\", \"rows\": %d, \"dim\": %d, \"bits\": %d,\n"
            "   \"search_level\": %d, \"centre_rows\": %d, \"seed\": %" PRIu64 "}%s\n",
            name, metric_names[c->metric], INDEX_ROWS, (int)c->dim, (int)c->bits, (int)c->level,
            (int)c->centre_rows, params.seed, number + 1 == INDEX_CASES ? "" : ",");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: golden_make FOLDER\n");
        return 2;
    }
    quash_context *context = NULL;
    must(quash_context_create(&context, NULL), "context");
    FILE *const manifest = open_in(argv[1], "manifest.json", "");
    fprintf(manifest, "{\"rows\": [\n");
    for (size_t i = 0; i < CASES; i++) {
        make_case(context, i, argv[1], manifest);
    }
    fprintf(manifest, "], \"index\": [\n");
    for (size_t i = 0; i < INDEX_CASES; i++) {
        make_index_case(context, i, argv[1], manifest);
    }
    fprintf(manifest, "]}\n");
    if (fclose(manifest) != 0) {
        fail("manifest.json", "cannot be written");
    }
    quash_context_free(context);
    printf("%zu cases\n", CASES + INDEX_CASES);
    return 0;
}
