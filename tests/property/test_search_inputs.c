/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that only the values of rows and queries count, not their dtype, strides or alignment, and
 * that no value is too large, too small or too special: scores are finite, or the call says why it
 * cannot. */
#include "index_support.h"

#include "base/half.h"

/* ---- Dtypes and strides ------------------------------------------------------------------ */

#define DIM 45
#define ROWS 130
#define QUERIES 11
#define SIZE ((size_t)ROWS * DIM)

/* Integers that all dtypes hold. */
static void fill_integers(float *rows, size_t size) {
    struct test_rng rng = test_rng_start(5);
    for (size_t i = 0; i < size; i++) {
        rows[i] = (float)test_below(&rng, 100);
    }
}

static void convert(const float *x, size_t n, int32_t dtype, void *out) {
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = dtype == QUASH_F16 ? quash_f32_to_f16(x[i]) : quash_f32_to_bf16(x[i]);
        const uint8_t byte = (uint8_t)x[i];
        switch (dtype) {
        case QUASH_F32: memcpy((float *)out + i, x + i, sizeof *x); break;
        case QUASH_F16:
        case QUASH_BF16: memcpy((uint16_t *)out + i, &half, sizeof half); break;
        default: memcpy((uint8_t *)out + i, &byte, sizeof byte); break;
        }
    }
}

TEST(dtypes_do_not_matter) {
    quash_context *const context = test_context(NULL);
    float *const rows = test_alloc(SIZE * sizeof *rows);
    void *const other = test_alloc(SIZE * sizeof *rows);
    fill_integers(rows, SIZE);
    for (int32_t metric = 0; metric < 3; metric++) {
        quash_index_params params = test_index_params(DIM, 3, metric);
        params.centre_rows = 60;
        quash_index *const expected = test_index(context, &params);
        test_add(expected, rows, ROWS, DIM);
        const struct test_result result = test_search(expected, rows, QUERIES, DIM, 20);
        for (int32_t dtype = QUASH_F32; dtype <= QUASH_U8; dtype++) {
            quash_index *const index = test_index(context, &params);
            convert(rows, SIZE, dtype, other);
            quash_array view = quash_array_view(other, (quash_dtype)dtype, 2, ROWS, DIM, 0);
            CHECK_EQ(quash_index_add(index, &view), QUASH_OK);
            CHECK(test_indexes_agree(index, expected, true, rows, QUERIES, DIM, 20));
            view.shape[0] = QUERIES;
            const struct test_result same = test_search_array(expected, &view, 20);
            CHECK(test_results_equal(&same, &result));
            test_result_free(&same);
            quash_index_free(index);
        }
        test_result_free(&result);
        quash_index_free(expected);
    }
    free(rows);
    free(other);
    quash_context_free(context);
}

/* Rows apart with NaN between them, in reverse, off by one byte. */
TEST(strides_and_alignment_do_not_matter) {
    quash_context *const context = test_context(NULL);
    const size_t pitch = DIM + 3;
    float *const rows = test_alloc(SIZE * sizeof *rows);
    float *const wide = test_alloc(ROWS * pitch * sizeof *wide);
    float *const reverse = test_alloc(SIZE * sizeof *reverse);
    unsigned char *const odd = test_alloc(SIZE * sizeof *rows + 1);
    fill_integers(rows, SIZE);
    memset(wide, 0xFF, ROWS * pitch * sizeof *wide);
    memcpy(odd + 1, rows, SIZE * sizeof *rows);
    for (size_t r = 0; r < ROWS; r++) {
        memcpy(wide + r * pitch, rows + r * DIM, DIM * sizeof *rows);
        memcpy(reverse + (ROWS - 1 - r) * DIM, rows + r * DIM, DIM * sizeof *rows);
    }
    quash_array views[3];
    views[0] = test_matrix(wide, ROWS, DIM);
    views[0].stride[0] = (int64_t)pitch;
    views[1] = test_matrix(reverse + (ROWS - 1) * DIM, ROWS, DIM);
    views[1].stride[0] = -DIM;
    views[2] = quash_array_view(odd + 1, QUASH_F32, 2, ROWS, DIM, 0);
    for (int32_t metric = 0; metric < 3; metric++) {
        quash_index_params params = test_index_params(DIM, 2, metric);
        params.centre_rows = 100;
        quash_index *const expected = test_index(context, &params);
        test_add(expected, rows, ROWS, DIM);
        const struct test_result result = test_search(expected, rows, QUERIES, DIM, 7);
        for (size_t i = 0; i < COUNT_OF(views); i++) {
            quash_index *const index = test_index(context, &params);
            CHECK_EQ(quash_index_add(index, &views[i]), QUASH_OK);
            quash_array queries = views[i];
            queries.shape[0] = QUERIES;
            const struct test_result same = test_search_array(index, &queries, 7);
            CHECK(test_results_equal(&same, &result));
            test_result_free(&same);
            quash_index_free(index);
        }
        test_result_free(&result);
        quash_index_free(expected);
    }
    free(rows);
    free(wide);
    free(reverse);
    free(odd);
    quash_context_free(context);
}

/* One row, repeated by a stride of 0: all scores are equal. */
TEST(a_row_may_be_repeated_by_stride_0) {
    quash_context *const context = test_context(NULL);
    quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_L2);
    params.centre_rows = 10;
    quash_index *const index = test_index(context, &params);
    float row[DIM];
    fill_integers(row, DIM);
    quash_array repeated = test_matrix(row, 1200, DIM);
    repeated.stride[0] = 0;
    CHECK_EQ(quash_index_add(index, &repeated), QUASH_OK);
    repeated.shape[0] = 2;
    const struct test_result r = test_search_array(index, &repeated, 1200);
    for (int64_t i = 0; i < 2 * 1200; i++) {
        CHECK(r.ids[i] == i % 1200 && r.scores[i] == 0.0f); /* the centre is the row */
    }
    test_result_free(&r);
    quash_index_free(index);
    quash_context_free(context);
}

/* ---- Special values ---------------------------------------------------------------------- */

/* A vector that equals the centre has scale 0: its scores are exact. */
TEST(a_row_on_the_centre_scores_exactly) {
    quash_context *const context = test_context(NULL);
    struct test_rng rng = test_rng_start(9);
    float centre[DIM];
    float queries[QUERIES * DIM];
    test_fill_gaussian(&rng, centre, DIM);
    test_fill_gaussian(&rng, queries, QUERIES * DIM);
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (int32_t metric = QUASH_METRIC_IP; metric <= QUASH_METRIC_L2; metric += 2) {
            quash_index_params params = test_index_params(DIM, bits, metric);
            params.centre = centre;
            quash_index *const index = test_index(context, &params);
            test_add(index, centre, 1, DIM);
            const struct test_result r = test_search(index, queries, QUERIES, DIM, 2);
            for (size_t j = 0; j < QUERIES; j++) {
                const double truth = metric == QUASH_METRIC_L2
                                         ? test_squared_error(queries + j * DIM, centre, DIM)
                                         : test_dot(queries + j * DIM, centre, DIM);
                CHECK_NEAR(r.scores[2 * j], truth, 1e-5 * (1.0 + fabs(truth)));
                CHECK(r.ids[2 * j] == 0 && r.ids[2 * j + 1] == -1);
            }
            test_result_free(&r);
            /* A query on the centre too: no rotation of a zero vector may go wrong. */
            const struct test_result on = test_search(index, centre, 1, DIM, 1);
            const double truth = metric == QUASH_METRIC_L2 ? 0.0 : test_dot(centre, centre, DIM);
            CHECK_NEAR(on.scores[0], truth, 1e-5 * (1.0 + truth));
            test_result_free(&on);
            quash_index_free(index);
        }
    }
    quash_context_free(context);
}

/* The true score in double, and in *size what errors are measured by: a bound of all its terms,
 * those with the centre of rows of that size included. */
static double true_score(int32_t metric, const float *q, const float *x, double row_size,
                         double *size) {
    const double qx = test_dot(q, x, DIM);
    const double qq = test_dot(q, q, DIM);
    const double xx = test_dot(x, x, DIM);
    if (metric == QUASH_METRIC_COSINE) {
        *size = 1.0;
        return qx / sqrt(qq) / sqrt(xx);
    }
    *size = qq + xx + row_size * row_size * DIM;
    return metric == QUASH_METRIC_L2 ? test_squared_error(q, x, DIM) : qx;
}

/* Whether the call succeeded with finite scores that are not far off, or failed as documented. */
static bool right_or_refused(const quash_index *index, int32_t metric, const float *rows,
                             double row_size, const float *queries, int64_t count) {
    const int64_t k = quash_index_count(index);
    const quash_array array = test_matrix(queries, count, DIM);
    const struct test_result r = test_result_alloc(count, k);
    const quash_status status = quash_index_search(index, &array, k, r.scores, r.ids);
    bool ok = status == QUASH_OK || status == QUASH_ERROR_ARGUMENT;
    for (int64_t i = 0; status == QUASH_OK && i < count * k; i++) {
        double size;
        ok = ok && isfinite(r.scores[i]) && r.ids[i] >= 0 && r.ids[i] < k;
        if (ok) {
            const double truth =
                true_score(metric, queries + i / k * DIM, rows + r.ids[i] * DIM, row_size, &size);
            ok = fabs((double)r.scores[i] - truth) <= .5 * size + 1e-44;
        }
    }
    test_result_free(&r);
    return ok;
}

/* Gaussian rows of a size, one zero row (but under cosine), one one-hot row. */
static void fill_sized(struct test_rng *rng, float *rows, size_t count, float size, bool zero) {
    for (size_t i = 0; i < count * DIM; i++) {
        const double value = (double)size * test_normal(rng);
        rows[i] = (float)fmax(fmin(value, 3.4e38), -3.4e38);
    }
    memset(rows, 0, 2 * DIM * sizeof *rows);
    rows[7] = zero ? 0.0f : size;
    rows[DIM + 3] = size;
}

static const float sizes[] = { 1e-45f, 1e-38f, 1e-30f, 1e-20f, 1e-10f, 1.0f,
                               1e10f,  1e19f,  1e20f,  1e30f,  1e37f,  3e38f };

/* Every size of rows against every size of queries, raw and coded, with zero rows. */
TEST(huge_and_tiny_values_give_finite_scores_or_an_error) {
    quash_context *const context = test_context(NULL);
    struct test_rng rng = test_rng_start(10);
    float rows[12 * DIM];
    float queries[QUERIES * DIM];
    static const float zero[DIM] = { 0.0f };
    int wrong = 0;
    for (size_t i = 0; i < COUNT_OF(sizes) * 9; i++) {
        const int32_t metric = (int32_t)i % 3;
        const int32_t kind = (int32_t)i / 3 % 3; /* raw; mean; centre 0 */
        const float size = sizes[i / 9];
        quash_index_params params = test_index_params(DIM, 4, metric);
        params.centre_rows = kind == 0 ? 100 : 8;
        params.centre = kind == 2 ? zero : NULL;
        quash_index *const index = test_index(context, &params);
        fill_sized(&rng, rows, 12, size, metric != QUASH_METRIC_COSINE);
        const quash_array array = test_matrix(rows, 12, DIM);
        const quash_status status = quash_index_add(index, &array);
        CHECK(status == QUASH_OK || (status == QUASH_ERROR_ARGUMENT && size > 1e18f));
        CHECK_EQ(quash_index_count(index), status == QUASH_OK ? 12 : 0);
        for (size_t q = 0; status == QUASH_OK && q < COUNT_OF(sizes); q++) {
            fill_sized(&rng, queries, QUERIES, sizes[q], metric != QUASH_METRIC_COSINE);
            if (!right_or_refused(index, metric, rows, (double)size, queries, QUERIES) &&
                wrong++ < 10) {
                printf("     metric %d, kind %d, rows of %g, queries of %g\n", (int)metric,
                       (int)kind, (double)size, (double)sizes[q]);
            }
        }
        quash_index_free(index);
    }
    CHECK_EQ(wrong, 0);
    quash_context_free(context);
}

int main(void) {
    RUN(dtypes_do_not_matter);
    RUN(strides_and_alignment_do_not_matter);
    RUN(a_row_may_be_repeated_by_stride_0);
    RUN(a_row_on_the_centre_scores_exactly);
    RUN(huge_and_tiny_values_give_finite_scores_or_an_error);
    return test_report();
}
