/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that encoded bytes and decoded rows depend on the values of the rows and the parameters of
 * the codec only: not on the number of workers or their schedule, on how rows are split into calls,
 * on strides, alignment or dtype. The seed does change them. */
#include "support.h"

#include "base/half.h"

#define ROWS 333

struct encoded {
    uint8_t *codes;
    size_t bytes;
};

static struct encoded encode(const quash_codec *codec, const quash_array *rows) {
    struct encoded e;
    e.bytes = (size_t)rows->shape[0] * quash_codec_row_bytes(codec);
    e.codes = test_alloc(e.bytes);
    memset(e.codes, 0xEE, e.bytes);
    CHECK_EQ(quash_encode(codec, rows, e.codes, e.bytes), QUASH_OK);
    return e;
}

/* Encodes the array and compares with what the plain rows gave. */
static bool encodes_to(const quash_codec *codec, const quash_array *rows, const uint8_t *codes) {
    struct encoded e = encode(codec, rows);
    const bool same = memcmp(e.codes, codes, e.bytes) == 0;
    free(e.codes);
    return same;
}

static float *gaussian_rows(size_t dim) {
    struct test_rng rng = test_rng_start(dim);
    float *const rows = test_alloc(ROWS * dim * sizeof *rows);
    test_fill_gaussian(&rng, rows, ROWS * dim);
    return rows;
}

static const size_t dims[] = { 1, 3, 13, 64, 100, 128 };

TEST(workers_do_not_matter) {
    static const int32_t worker_counts[] = { 1, 2, 3, 8, 16 };
    quash_context *const serial = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        const size_t dim = dims[i];
        quash_codec_params params = test_params(dim, 1 + (int32_t)i % 4);
        params.search_level = 2;
        quash_codec *const codec = test_codec(serial, &params);
        float *const data = gaussian_rows(dim);
        float *const decoded = test_alloc(2 * ROWS * dim * sizeof *decoded);
        float *const other = decoded + ROWS * dim;
        const quash_array rows = quash_array_view(data, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        const quash_array out = quash_array_view(decoded, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        const quash_array out2 = quash_array_view(other, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        struct encoded e = encode(codec, &rows);
        CHECK_EQ(quash_decode(codec, e.codes, e.bytes, &out), QUASH_OK);
        for (size_t w = 0; w < COUNT_OF(worker_counts); w++) {
            int32_t workers = worker_counts[w];
            const quash_runner runner = test_threads(&workers);
            quash_context *const contexts[] = { test_context(&runner), test_pool_context(workers) };
            for (size_t c = 0; c < COUNT_OF(contexts); c++) {
                quash_codec *const threaded = test_codec(contexts[c], &params);
                CHECK(encodes_to(threaded, &rows, e.codes));
                memset(other, 0, ROWS * dim * sizeof *other);
                CHECK_EQ(quash_decode(threaded, e.codes, e.bytes, &out2), QUASH_OK);
                CHECK(memcmp(decoded, other, ROWS * dim * sizeof *decoded) == 0);
                quash_codec_free(threaded);
                quash_context_free(contexts[c]);
            }
        }
        free(e.codes);
        free(data);
        free(decoded);
        quash_codec_free(codec);
    }
    quash_context_free(serial);
}

/* Calls of 1, 2, ... rows give the bytes of one call; so does every single row on its own. */
TEST(splits_do_not_matter) {
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        const size_t dim = dims[i];
        const quash_codec_params params = test_params(dim, 4 - (int32_t)i % 4);
        quash_codec *const codec = test_codec(context, &params);
        const size_t row_bytes = quash_codec_row_bytes(codec);
        float *const data = gaussian_rows(dim);
        const quash_array rows = quash_array_view(data, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        struct encoded e = encode(codec, &rows);
        for (size_t first = 0, count = 1; first < ROWS; first += count, count++) {
            count = first + count < ROWS ? count : ROWS - first;
            const quash_array part =
                quash_array_view(data + first * dim, QUASH_F32, 2, (int64_t)count, (int64_t)dim, 0);
            CHECK(encodes_to(codec, &part, e.codes + first * row_bytes));
        }
        free(e.codes);
        free(data);
        quash_codec_free(codec);
    }
    quash_context_free(context);
}

/* Rows apart, in reverse, transposed from a wider block, one row repeated, and off by one byte. */
TEST(strides_and_alignment_do_not_matter) {
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        const size_t dim = dims[i];
        const size_t pitch = dim + 5;
        const quash_codec_params params = test_params(dim, 3);
        quash_codec *const codec = test_codec(context, &params);
        const size_t row_bytes = quash_codec_row_bytes(codec);
        float *const data = gaussian_rows(dim);
        const quash_array rows = quash_array_view(data, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        struct encoded e = encode(codec, &rows);

        float *const wide = test_alloc(ROWS * pitch * sizeof *wide);
        unsigned char *const odd = test_alloc(ROWS * dim * sizeof *data + 1);
        memset(wide, 0xFF, ROWS * pitch * sizeof *wide); /* NaN between the rows */
        for (size_t r = 0; r < ROWS; r++) {
            memcpy(wide + r * pitch, data + r * dim, dim * sizeof *wide);
        }
        memcpy(odd + 1, data, ROWS * dim * sizeof *data);

        quash_array view = rows;
        view.data = wide;
        view.stride[0] = (int64_t)pitch;
        CHECK(encodes_to(codec, &view, e.codes));

        view = rows;
        view.data = odd + 1;
        CHECK(encodes_to(codec, &view, e.codes));

        view = rows; /* backwards: row r of the view is row ROWS - 1 - r */
        view.data = data + (ROWS - 1) * dim;
        view.stride[0] = -(int64_t)dim;
        struct encoded backwards = encode(codec, &view);
        view = rows; /* stride 0: the first row again and again */
        view.stride[0] = 0;
        struct encoded repeated = encode(codec, &view);
        for (size_t r = 0; r < ROWS; r++) {
            CHECK(memcmp(backwards.codes + r * row_bytes, e.codes + (ROWS - 1 - r) * row_bytes,
                         row_bytes) == 0);
            CHECK(memcmp(repeated.codes + r * row_bytes, e.codes, row_bytes) == 0);
        }
        free(backwards.codes);
        free(repeated.codes);
        free(wide);
        free(odd);
        free(e.codes);
        free(data);
        quash_codec_free(codec);
    }
    quash_context_free(context);
}

/* The last dimension may have any stride when its size is 1. */
TEST(a_column_may_be_strided) {
    quash_context *const context = test_context(NULL);
    const quash_codec_params params = test_params(1, 2);
    quash_codec *const codec = test_codec(context, &params);
    float *const data = gaussian_rows(1);
    quash_array rows = quash_array_view(data, QUASH_F32, 2, ROWS, 1, 0);
    struct encoded e = encode(codec, &rows);
    rows.stride[1] = 977;
    CHECK(encodes_to(codec, &rows, e.codes));
    free(e.codes);
    free(data);
    quash_codec_free(codec);
    quash_context_free(context);
}

/* Small whole numbers are exact in every dtype. */
TEST(dtypes_do_not_matter) {
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        const size_t dim = dims[i];
        const size_t n = ROWS * dim;
        quash_codec_params params = test_params(dim, 4);
        params.scale_policy = QUASH_SCALE_NORM;
        quash_codec *const codec = test_codec(context, &params);
        float *const f32 = test_alloc(n * sizeof *f32);
        uint16_t *const f16 = test_alloc(n * sizeof *f16);
        uint16_t *const bf16 = test_alloc(n * sizeof *bf16);
        int8_t *const i8 = test_alloc(n);
        uint8_t *const u8 = test_alloc(n);
        for (int sign = 0; sign <= 1; sign++) {
            struct test_rng rng = test_rng_start(dim);
            for (size_t k = 0; k < n; k++) {
                const int value = (int)test_below(&rng, 128) - (sign ? 128 : 0);
                f32[k] = (float)value;
                f16[k] = quash_f32_to_f16((float)value);
                bf16[k] = quash_f32_to_bf16((float)value);
                i8[k] = (int8_t)value;
                u8[k] = (uint8_t)value;
            }
            const void *const views[] = { f32, f16, bf16, i8, u8 };
            quash_array rows = quash_array_view(f32, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
            struct encoded e = encode(codec, &rows);
            for (int32_t dtype = QUASH_F32; dtype <= (sign ? QUASH_I8 : QUASH_U8); dtype++) {
                rows = quash_array_view(views[dtype], (quash_dtype)dtype, 2, ROWS, (int64_t)dim, 0);
                CHECK(encodes_to(codec, &rows, e.codes));
            }
            free(e.codes);
        }
        for (size_t k = 0; k < n; k++) { /* bytes from 128 up */
            u8[k] = (uint8_t)(u8[k] | 128u);
            f32[k] = (float)u8[k];
        }
        quash_array rows = quash_array_view(f32, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        struct encoded e = encode(codec, &rows);
        rows = quash_array_view(u8, QUASH_U8, 2, ROWS, (int64_t)dim, 0);
        CHECK(encodes_to(codec, &rows, e.codes));
        free(e.codes);
        free(f32);
        free(f16);
        free(bf16);
        free(i8);
        free(u8);
        quash_codec_free(codec);
    }
    quash_context_free(context);
}

TEST(the_seed_matters) {
    quash_context *const context = test_context(NULL);
    float *const data = gaussian_rows(128);
    const quash_array rows = quash_array_view(data, QUASH_F32, 2, ROWS, 128, 0);
    quash_codec_params params = test_params(128, 4);
    quash_codec *const first = test_codec(context, &params);
    quash_codec *const again = test_codec(context, &params);
    struct encoded e = encode(first, &rows);
    CHECK(encodes_to(again, &rows, e.codes));
    for (uint64_t bit = 0; bit < 64; bit++) { /* every bit of the seed counts */
        params.seed = 42 ^ UINT64_C(1) << bit;
        quash_codec *const other = test_codec(context, &params);
        CHECK(!encodes_to(other, &rows, e.codes));
        quash_codec_free(other);
    }
    free(e.codes);
    free(data);
    quash_codec_free(first);
    quash_codec_free(again);
    quash_context_free(context);
}

int main(void) {
    RUN(workers_do_not_matter);
    RUN(splits_do_not_matter);
    RUN(strides_and_alignment_do_not_matter);
    RUN(a_column_may_be_strided);
    RUN(dtypes_do_not_matter);
    RUN(the_seed_matters);
    return test_report();
}
