/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the answer of every public function of base.h and codec.h (rows files apart) to every bad
 * argument: the status, the exact message, and that outputs stay as they were. */
#include "support.h"

static quash_context *context;

/* ---- Creating ---------------------------------------------------------------------------- */

static void *no_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    (void)size;
    (void)alignment;
    return NULL;
}

static void no_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)pointer;
    (void)size;
}

static void no_run(void *user, quash_task task, void *state, int64_t count) {
    (void)user;
    (void)task;
    (void)state;
    (void)count;
}

static void context_fails(const quash_context_params *params, const char *message) {
    quash_context *out = NULL;
    CHECK_FAILS(quash_context_create(&out, params), QUASH_ERROR_ARGUMENT, message);
    CHECK(out == NULL);
    quash_context_free(out);
}

TEST(context_create) {
    CHECK_FAILS(quash_context_create(NULL, NULL), QUASH_ERROR_ARGUMENT, "out is NULL");
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.struct_size = 0;
    context_fails(&params, "params: struct_size is 0, expected 32");
    params.struct_size = 24; /* of version 0.1.0 before it had threads */
    context_fails(&params, "params: struct_size is 24, expected 32");

    params = (quash_context_params)QUASH_CONTEXT_PARAMS_INIT;
    quash_allocator allocator = { NULL, NULL, no_free };
    params.allocator = &allocator;
    context_fails(&params, "allocator: alloc is NULL");
    allocator = (quash_allocator){ NULL, no_alloc, NULL };
    context_fails(&params, "allocator: free is NULL");
    allocator = (quash_allocator){ NULL, NULL, NULL };
    context_fails(&params, "allocator: alloc is NULL");

    params.allocator = NULL;
    quash_runner runner = { NULL, 1, NULL };
    params.runner = &runner;
    context_fails(&params, "runner: run is NULL");
    static const int32_t wrong[] = { 0, -1, 1025, INT32_MIN, INT32_MAX };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char message[64];
        (void)snprintf(message, sizeof message, "runner: workers is %d, expected 1..1024",
                       (int)wrong[i]);
        runner = (quash_runner){ NULL, wrong[i], no_run };
        context_fails(&params, message);
    }
    runner = (quash_runner){ NULL, 1024, no_run };
    quash_context *out = NULL;
    CHECK_EQ(quash_context_create(&out, &params), QUASH_OK);
    quash_context_free(out);

    static const int32_t beside[] = { 1, 2, -1, 1025 };
    for (size_t i = 0; i < COUNT_OF(beside); i++) {
        char message[64];
        (void)snprintf(message, sizeof message, "threads is %d, expected 0 beside a runner",
                       (int)beside[i]);
        params.threads = beside[i];
        context_fails(&params, message);
    }
    params.runner = NULL;
    params.threads = -1;
    context_fails(&params, "threads is -1, expected 0..1024");
    params.threads = 1025;
    context_fails(&params, "threads is 1025, expected 0..1024");
    params.threads = 1024;
    CHECK_EQ(quash_context_create(&out, &params), QUASH_OK);
    quash_context_free(out);
}

TEST(codec_create_pointers) {
    quash_codec_params params = test_params(8, 4);
    quash_codec *out = NULL;
    CHECK_FAILS(quash_codec_create(NULL, context, &params), QUASH_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(quash_codec_create(&out, NULL, &params), QUASH_ERROR_ARGUMENT, "context is NULL");
    CHECK_FAILS(quash_codec_create(&out, context, NULL), QUASH_ERROR_ARGUMENT, "params is NULL");
    params.struct_size = 39;
    CHECK_FAILS(quash_codec_create(&out, context, &params), QUASH_ERROR_ARGUMENT,
                "params: struct_size is 39, expected 40");
    CHECK(out == NULL);
}

struct field {
    const char *name;
    size_t offset;
    int32_t low;
    int32_t high;
};

static const struct field fields[] = {
    { "dim", offsetof(quash_codec_params, dim), 1, 16384 },
    { "bits", offsetof(quash_codec_params, bits), 1, 4 },
    { "scale_policy", offsetof(quash_codec_params, scale_policy), 0, 3 },
    { "scale_dtype", offsetof(quash_codec_params, scale_dtype), 0, 1 },
    { "search_level", offsetof(quash_codec_params, search_level), 0, 2 },
    { "rotation_rounds", offsetof(quash_codec_params, rotation_rounds), 1, 2 },
};

TEST(codec_create_fields) {
    for (size_t f = 0; f < COUNT_OF(fields); f++) {
        const int32_t values[] = { fields[f].low - 1, fields[f].high + 1, INT32_MIN,
                                   INT32_MAX,         fields[f].low,      fields[f].high };
        for (size_t v = 0; v < COUNT_OF(values); v++) {
            quash_codec_params params = test_params(16, 4);
            memcpy((unsigned char *)&params + fields[f].offset, &values[v], sizeof values[v]);
            quash_codec *out = NULL;
            if (values[v] >= fields[f].low && values[v] <= fields[f].high) {
                CHECK_EQ(quash_codec_create(&out, context, &params), QUASH_OK);
                quash_codec_free(out);
                continue;
            }
            char message[80];
            (void)snprintf(message, sizeof message, "%s is %d, expected %d..%d", fields[f].name,
                           (int)values[v], (int)fields[f].low, (int)fields[f].high);
            CHECK_FAILS(quash_codec_create(&out, context, &params), QUASH_ERROR_ARGUMENT, message);
            CHECK(out == NULL);
        }
    }
}

/* ---- Encode and decode ------------------------------------------------------------------- */

enum { ROWS = 3, DIM = 20, ROW_BYTES = 4 + DIM / 2, CODES = ROWS * ROW_BYTES };

static float rows[ROWS * DIM];
static uint8_t codes[CODES];
static quash_codec *codec;

/* A bad rows array gets the same answer from both directions. */
static void rows_fail(const quash_array *array, const char *message) {
    memset(codes, 0x5A, sizeof codes);
    CHECK_FAILS(quash_encode(codec, array, codes, CODES), QUASH_ERROR_ARGUMENT, message);
    CHECK_FAILS(quash_decode(codec, codes, CODES, array), QUASH_ERROR_ARGUMENT, message);
    for (size_t i = 0; i < CODES; i++) {
        CHECK(codes[i] == 0x5A);
    }
}

TEST(rows_arrays) {
    const quash_array good = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    rows_fail(NULL, "rows is NULL");
    quash_array a = good;
    a.data = NULL;
    rows_fail(&a, "rows has a NULL data pointer");
    a = good;
    a.dtype = 5;
    rows_fail(&a, "rows has dtype 5, which is no quash_dtype");
    a.dtype = -1;
    rows_fail(&a, "rows has dtype -1, which is no quash_dtype");
    a = good;
    a.ndim = 1;
    rows_fail(&a, "rows has 1 dimensions, expected 2");
    a.ndim = 3;
    rows_fail(&a, "rows has 3 dimensions, expected 2");
    a = good;
    a.shape[0] = -3;
    rows_fail(&a, "rows has size -3 in dimension 0");
    a = good;
    a.shape[1] = DIM - 1;
    rows_fail(&a, "rows has size 19 in dimension 1, expected 20");
    a.shape[1] = DIM + 1;
    rows_fail(&a, "rows has size 21 in dimension 1, expected 20");
    a = good;
    a.shape[0] = INT64_MAX / 8;
    rows_fail(&a, "rows has more elements than memory can hold");
    a = good;
    a.stride[1] = 2;
    rows_fail(&a, "rows has stride 2 in its last dimension, expected 1");
    a = good;
    a.stride[0] = INT64_MAX;
    rows_fail(&a, "rows has stride 9223372036854775807 in dimension 0");

    /* Only outputs are asked for these. */
    a = quash_array_view(rows, QUASH_U8, 2, ROWS, DIM, 0);
    CHECK_FAILS(quash_decode(codec, codes, CODES, &a), QUASH_ERROR_ARGUMENT,
                "rows has an integer dtype, expected F32, F16 or BF16");
    a = good;
    a.stride[0] = DIM - 1;
    CHECK_FAILS(quash_decode(codec, codes, CODES, &a), QUASH_ERROR_ARGUMENT,
                "rows has strides by which its elements overlap");
    a.stride[0] = 0;
    CHECK_FAILS(quash_decode(codec, codes, CODES, &a), QUASH_ERROR_ARGUMENT,
                "rows has strides by which its elements overlap");
}

TEST(codes_buffers) {
    const quash_array good = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    memset(codes, 0x5A, sizeof codes);
    CHECK_FAILS(quash_encode(codec, &good, NULL, CODES), QUASH_ERROR_ARGUMENT, "codes is NULL");
    CHECK_FAILS(quash_decode(codec, NULL, CODES, &good), QUASH_ERROR_ARGUMENT, "codes is NULL");
    static const size_t sizes[] = { 0, 1, ROW_BYTES, CODES - 1 };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char message[128];
        (void)snprintf(message, sizeof message,
                       "codes_bytes is %zu, which is %zu rows of 14 bytes, expected 3 rows",
                       sizes[i], sizes[i] / ROW_BYTES);
        CHECK_FAILS(quash_encode(codec, &good, codes, sizes[i]), QUASH_ERROR_CAPACITY, message);
        CHECK_FAILS(quash_decode(codec, codes, sizes[i], &good), QUASH_ERROR_CAPACITY, message);
    }
    for (size_t i = 0; i < CODES; i++) {
        CHECK(codes[i] == 0x5A);
    }
    CHECK_EQ(quash_encode(codec, &good, codes, CODES), QUASH_OK);
    CHECK_EQ(quash_decode(codec, codes, CODES, &good), QUASH_OK);
}

/* Of several problems the lowest row is named, however many workers look. */
TEST(not_finite_rows) {
    const quash_array good = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    rows[2 * DIM + 19] = NAN;
    CHECK_FAILS(quash_encode(codec, &good, codes, CODES), QUASH_ERROR_ARGUMENT,
                "rows: NaN or infinity in row 2, column 19");
    rows[0] = -INFINITY;
    CHECK_FAILS(quash_encode(codec, &good, codes, CODES), QUASH_ERROR_ARGUMENT,
                "rows: NaN or infinity in row 0, column 0");
    rows[0] = 0.0f;
    rows[2 * DIM + 19] = 0.0f;

    int32_t workers = 8;
    const quash_runner runner = test_threads(&workers);
    quash_context *const threaded = test_context(&runner);
    const quash_codec_params params = test_params(2, 1);
    quash_codec *const other = test_codec(threaded, &params);
    static float many[5000][2];
    static uint8_t many_codes[5000 * 5];
    for (size_t r = 4999; r >= 1000; r -= 13) {
        many[r][1] = INFINITY;
    }
    many[999][1] = INFINITY;
    const quash_array array = quash_array_view(many, QUASH_F32, 2, 5000, 2, 0);
    for (int repeat = 0; repeat < 20; repeat++) {
        CHECK_FAILS(quash_encode(other, &array, many_codes, sizeof many_codes),
                    QUASH_ERROR_ARGUMENT, "rows: NaN or infinity in row 999, column 1");
    }
    quash_codec_free(other);
    quash_context_free(threaded);
}

/* Stored scales are not trusted. */
TEST(damaged_scales) {
    static const struct {
        uint32_t bits;
        const char *text;
    } bad[] = { { 0x7FC00000u, "nan" }, { 0x7F800000u, "inf" },  { 0xFF800000u, "-inf" },
                { 0xBF800000u, "-1" },  { 0xC0200000u, "-2.5" }, { 0x80000001u, "-1.4013e-45" } };
    const quash_array good = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char message[64];
        (void)snprintf(message, sizeof message, "codes: row 1 has the scale %s", bad[i].text);
        CHECK_EQ(quash_encode(codec, &good, codes, CODES), QUASH_OK);
        memcpy(codes + ROW_BYTES, &bad[i].bits, 4);
        memcpy(codes + 2 * ROW_BYTES, &bad[i].bits, 4);
        float out[ROWS * DIM];
        for (size_t k = 0; k < COUNT_OF(out); k++) {
            out[k] = 7.0f;
        }
        const quash_array array = quash_array_view(out, QUASH_F32, 2, ROWS, DIM, 0);
        CHECK_FAILS(quash_decode(codec, codes, CODES, &array), QUASH_ERROR_FORMAT, message);
        for (size_t k = 0; k < COUNT_OF(out); k++) {
            CHECK(out[k] == 7.0f);
        }
    }
    quash_codec_params params = test_params(DIM, 4);
    params.scale_dtype = QUASH_F16;
    quash_codec *const half = test_codec(context, &params);
    static const uint16_t bad_halves[] = { 0x7C00, 0xFC00, 0x7E00, 0xBC00, 0x8001 };
    static const char *const texts[] = { "inf", "-inf", "nan", "-1", "-5.96046e-08" };
    for (size_t i = 0; i < COUNT_OF(bad_halves); i++) {
        char message[64];
        (void)snprintf(message, sizeof message, "codes: row 0 has the scale %s", texts[i]);
        memcpy(codes, &bad_halves[i], 2);
        const quash_array array = quash_array_view(rows, QUASH_F32, 2, 1, DIM, 0);
        CHECK_FAILS(quash_decode(half, codes, CODES, &array), QUASH_ERROR_FORMAT, message);
    }
    quash_codec_free(half);
}

/* ---- Solver ------------------------------------------------------------------------------ */

TEST(codebook_solve) {
    double levels[16] = { 7.0 };
    double nmse = 7.0;
    CHECK_FAILS(quash_codebook_solve(0, 2, NULL, &nmse), QUASH_ERROR_ARGUMENT, "levels is NULL");
    CHECK_FAILS(quash_codebook_solve(0, 2, levels, NULL), QUASH_ERROR_ARGUMENT, "nmse is NULL");
    CHECK_FAILS(quash_codebook_solve(0, 0, levels, &nmse), QUASH_ERROR_ARGUMENT,
                "bits is 0, expected 1..4");
    CHECK_FAILS(quash_codebook_solve(0, 5, levels, &nmse), QUASH_ERROR_ARGUMENT,
                "bits is 5, expected 1..4");
    CHECK_FAILS(quash_codebook_solve(1, 2, levels, &nmse), QUASH_ERROR_ARGUMENT,
                "dim is 1, expected 0 (normal) or 2..16384");
    CHECK_FAILS(quash_codebook_solve(-2, 2, levels, &nmse), QUASH_ERROR_ARGUMENT,
                "dim is -2, expected 0 (normal) or 2..16384");
    CHECK_FAILS(quash_codebook_solve(16385, 2, levels, &nmse), QUASH_ERROR_ARGUMENT,
                "dim is 16385, expected 0 (normal) or 2..16384");
    CHECK(levels[0] == 7.0 && nmse == 7.0);
}

int main(void) {
    context = test_context(NULL);
    const quash_codec_params params = test_params(DIM, 4);
    codec = test_codec(context, &params);
    RUN(context_create);
    RUN(codec_create_pointers);
    RUN(codec_create_fields);
    RUN(rows_arrays);
    RUN(codes_buffers);
    RUN(not_finite_rows);
    RUN(damaged_scales);
    RUN(codebook_solve);
    quash_codec_free(codec);
    quash_context_free(context);
    return test_report();
}
