/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the inner-product quantizer computes what product.h writes down: codes, signs, norms
 * and estimates equal those of a reference in double that reads the public matrix and rotation. And
 * that the matrix is standard normal and a function of the seed alone, that results depend on no
 * schedule, dtype or stride, and that zero and extreme rows have the answers promised. */
#include "product_support.h"

enum { ROWS = 70, DIM_MAX = 130 };

static quash_context *context;
static struct test_rng rng;

static const size_t dims[] = { 1, 2, 7, 33, 64, 130 };

/* ---- The matrix ---------------------------------------------------------------------------- */

static float *matrix_of(quash_context *owner, size_t dim, int32_t bits, uint64_t seed) {
    quash_product *const product = test_product(owner, dim, bits, seed);
    float *const matrix = test_alloc(dim * dim * sizeof *matrix);
    quash_product_matrix(product, matrix);
    quash_product_free(product);
    return matrix;
}

/* Moments of a standard normal, within 4 standard errors; rows and columns are uncorrelated. */
TEST(matrix_is_normal) {
    enum { DIM = 512 };
    const double n = (double)DIM * DIM;
    float *const s = matrix_of(context, DIM, 3, 42);
    double moments[5] = { 0 };
    double beyond = 0;
    double row_products = 0.0;
    double column_products = 0.0;
    for (size_t i = 0; i < (size_t)DIM * DIM; i++) {
        double power = 1.0;
        for (int k = 1; k <= 4; k++) {
            power *= (double)s[i];
            moments[k] += power / n;
        }
        beyond += fabsf(s[i]) > 2.0f ? 1.0 / n : 0.0;
        column_products += i % DIM != 0 ? (double)s[i] * (double)s[i - 1] / n : 0.0;
        row_products += i >= DIM ? (double)s[i] * (double)s[i - DIM] / n : 0.0;
    }
    const double variance = moments[2] - moments[1] * moments[1];
    CHECK_NEAR(moments[1], 0.0, 4.0 / sqrt(n));
    CHECK_NEAR(variance, 1.0, 4.0 * sqrt(2.0 / n));
    CHECK_NEAR(moments[3], 0.0, 4.0 * sqrt(15.0 / n));
    CHECK_NEAR(moments[4] / (variance * variance), 3.0, 4.0 * sqrt(24.0 / n));
    CHECK_NEAR(beyond, 0.0455, 4.0 * sqrt(0.0455 / n));
    CHECK_NEAR(row_products, 0.0, 4.0 / sqrt(n));
    CHECK_NEAR(column_products, 0.0, 4.0 / sqrt(n));
    printf("S: mean %.5f, variance %.5f, kurtosis %.4f\n", moments[1], variance,
           moments[4] / (variance * variance));
    free(s);
}

TEST(matrix_follows_the_seed) {
    int32_t workers = 3;
    const quash_runner threads = test_threads(&workers);
    quash_context *const threaded = test_context(&threads);
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        const size_t dim = dims[d];
        const size_t bytes = dim * dim * sizeof(float);
        float *const a = matrix_of(context, dim, 3, 1);
        float *const same = matrix_of(threaded, dim, 1, 1);
        float *const other = matrix_of(context, dim, 3, 2);
        CHECK(memcmp(a, same, bytes) == 0);
        size_t equal = 0;
        for (size_t i = 0; i < dim * dim; i++) {
            equal += a[i] == other[i];
        }
        CHECK(equal <= dim * dim / 1000);
        if (dim >= 33) {
            const double n = (double)(dim * dim);
            CHECK_NEAR(test_dot(a, other, dim * dim) / n, 0.0, 4.0 / sqrt(n));
        }
        free(a);
        free(same);
        free(other);
    }
    quash_context_free(threaded);
}

/* ---- Encoding and estimating, in double ---------------------------------------------------- */

struct reference {
    size_t dim;
    int32_t bits;
    float *matrix;
    float query[DIM_MAX];
    float x[DIM_MAX]; /* both rotated */
};

/* Sum over i of S[row][i] v[i]. */
static double project(const struct reference *r, size_t row, const double *v) {
    double sum = 0.0;
    for (size_t i = 0; i < r->dim; i++) {
        sum += (double)r->matrix[row * r->dim + i] * v[i];
    }
    return sum;
}

/* No other level is nearer to the coordinate than the chosen one; ties may fall either way. */
static bool code_is_nearest(const struct reference *r, double coordinate, uint8_t code) {
    const double distance = fabs(coordinate - test_level(r->dim, r->bits - 1, code));
    for (int32_t other = 0; other < 1 << (r->bits - 1); other++) {
        if (fabs(coordinate - test_level(r->dim, r->bits - 1, (uint8_t)other)) < distance - 1e-6) {
            return false;
        }
    }
    return code >> (r->bits - 1) == 0;
}

static void check_row(const struct reference *r, const struct test_codes *c, size_t row,
                      double estimate) {
    const double length = sqrt(test_dot(r->x, r->x, r->dim));
    const uint8_t *const codes = c->codes + row * r->dim;
    const uint8_t *const signs = c->signs + row * r->dim;
    double residual[DIM_MAX];
    double query[DIM_MAX];
    double levels = 0.0;
    double sketch = 0.0;
    double gamma = 0.0;
    test_residual(r->x, codes, r->dim, r->bits - 1, residual);
    for (size_t i = 0; i < r->dim; i++) {
        query[i] = (double)r->query[i];
        CHECK(code_is_nearest(r, (double)r->x[i] / length, codes[i]));
        levels += query[i] * test_level(r->dim, r->bits - 1, codes[i]);
        gamma += residual[i] * residual[i];
    }
    for (size_t i = 0; i < r->dim; i++) {
        const double projected = project(r, i, residual);
        if (fabs(projected) > 1e-5) {
            CHECK_EQ(signs[i], projected > 0.0);
        }
        CHECK(signs[i] <= 1);
        sketch += signs[i] ? project(r, i, query) : -project(r, i, query);
    }
    const double weight = sqrt(1.5707963267948966) / (double)r->dim;
    const double expected = length * (levels + weight * sqrt(gamma) * sketch);
    const double query_length = sqrt(test_dot(r->query, r->query, r->dim));
    CHECK_NEAR(c->norms[row], length, 1e-6 * length);
    CHECK_NEAR(c->residual_norms[row], sqrt(gamma), 1e-5);
    CHECK_NEAR(estimate, expected, 2e-5 * length * query_length);
}

TEST(codes_and_estimates_follow_the_formula) {
    static float x[ROWS * DIM_MAX];
    static float queries[ROWS * DIM_MAX];
    static float rotated[2][ROWS * DIM_MAX];
    float dots[ROWS];
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        for (int32_t bits = 1; bits <= 4; bits++) {
            struct reference r = { .dim = dims[d], .bits = bits };
            quash_product *const product = test_product(context, r.dim, bits, 9);
            const struct test_codes c = test_codes_new(ROWS, r.dim);
            r.matrix = matrix_of(context, r.dim, bits, 9);
            test_fill_gaussian(&rng, x, ROWS * r.dim);
            test_fill_gaussian(&rng, queries, ROWS * r.dim);
            test_product_encode(product, x, &c);
            test_product_rotate(product, x, ROWS, r.dim, rotated[0]);
            test_product_rotate(product, queries, ROWS, r.dim, rotated[1]);
            test_product_dot(product, &c, c.residual_norms, rotated[1], r.dim, dots);
            for (size_t row = 0; row < ROWS; row++) {
                memcpy(r.x, rotated[0] + row * r.dim, r.dim * sizeof(float));
                memcpy(r.query, rotated[1] + row * r.dim, r.dim * sizeof(float));
                check_row(&r, &c, row, (double)dots[row]);
            }
            free(r.matrix);
            test_codes_free(&c);
            quash_product_free(product);
        }
    }
}

/* ---- What must not matter ------------------------------------------------------------------ */

/* Workers, the split into rows, residual norms that are not asked for, and a repeated query. */
TEST(calls_may_be_split) {
    enum { DIM = 48, MANY = 200 };
    static float x[MANY * DIM];
    static float queries[MANY * DIM];
    float dots[2][MANY];
    int32_t workers = 3;
    const quash_runner threads = test_threads(&workers);
    quash_context *const threaded = test_context(&threads);
    quash_product *const a = test_product(context, DIM, 3, 3);
    quash_product *const b = test_product(threaded, DIM, 3, 3);
    const struct test_codes c = test_codes_new(MANY, DIM);
    const struct test_codes e = test_codes_new(MANY, DIM);
    test_fill_gaussian(&rng, x, COUNT_OF(x));
    test_fill_gaussian(&rng, queries, DIM);
    for (size_t r = 1; r < MANY; r++) {
        memcpy(queries + r * DIM, queries, DIM * sizeof(float));
    }
    test_product_encode(a, x, &c);
    test_product_encode(b, x, &e);
    CHECK(test_codes_equal(&c, &e));
    test_product_dot(a, &c, c.residual_norms, queries, DIM, dots[0]);
    test_product_dot(b, &c, c.residual_norms, queries, 0, dots[1]);
    CHECK(memcmp(dots[0], dots[1], sizeof dots[0]) == 0);
    for (size_t r = 0; r < MANY; r++) {
        const struct test_codes one = {
            1, DIM, e.codes + r * DIM, e.signs + r * DIM, e.norms + r, e.residual_norms + r
        };
        memset(one.codes, 0xFF, DIM);
        const quash_array row = test_floats(x + r * DIM, 1, DIM);
        const quash_array codes = test_bytes(one.codes, 1, DIM);
        const quash_array signs = test_bytes(one.signs, 1, DIM);
        CHECK_EQ(quash_product_encode(a, &row, &codes, &signs, one.norms, NULL), QUASH_OK);
        test_product_dot(a, &one, one.residual_norms, queries, 0, dots[1] + r);
    }
    CHECK(test_codes_equal(&c, &e));
    CHECK(memcmp(dots[0], dots[1], sizeof dots[0]) == 0);
    test_codes_free(&c);
    test_codes_free(&e);
    quash_product_free(a);
    quash_product_free(b);
    quash_context_free(threaded);
}

/* A zero row is zero; rows times 2^-100 and 2^100 have the codes of the rows themselves. */
TEST(rows_of_any_size) {
    enum { DIM = 64, MANY = 100 };
    static float x[MANY * DIM];
    float query[DIM];
    float dots[MANY];
    quash_product *const product = test_product(context, DIM, 3, 3);
    const struct test_codes c = test_codes_new(MANY, DIM);
    const struct test_codes e = test_codes_new(MANY, DIM);
    test_fill_gaussian(&rng, x, COUNT_OF(x));
    test_fill_gaussian(&rng, query, DIM);
    test_product_encode(product, x, &c);
    for (size_t i = DIM; i < COUNT_OF(x); i++) {
        x[i] *= i / DIM % 2 ? 0x1p-100f : 0x1p100f;
    }
    memset(x, 0, DIM * sizeof *x);
    test_product_encode(product, x, &e);
    CHECK(memcmp(c.codes + DIM, e.codes + DIM, (MANY - 1) * DIM) == 0);
    CHECK(memcmp(c.signs + DIM, e.signs + DIM, (MANY - 1) * DIM) == 0);
    CHECK(e.norms[0] == 0.0f && e.residual_norms[0] == 0.0f);
    for (size_t r = 1; r < MANY; r++) {
        CHECK(e.norms[r] == c.norms[r] * (r % 2 ? 0x1p-100f : 0x1p100f));
        CHECK(e.residual_norms[r] == c.residual_norms[r]);
    }
    for (int with = 0; with < 2; with++) {
        test_product_dot(product, &e, with ? e.residual_norms : NULL, query, 0, dots);
        CHECK(dots[0] == 0.0f);
    }
    test_codes_free(&c);
    test_codes_free(&e);
    quash_product_free(product);
}

/* Without residual norms every row has the same, the root mean square of the true ones. */
TEST(expected_residual_norm) {
    enum { DIM = 64, MANY = 2000 };
    static float x[MANY * DIM];
    static float ones[MANY];
    static float zeros[MANY];
    static float dots[3][MANY];
    float query[DIM];
    test_fill_gaussian(&rng, x, COUNT_OF(x));
    test_fill_gaussian(&rng, query, DIM);
    for (size_t r = 0; r < MANY; r++) {
        ones[r] = 1.0f;
    }
    for (int32_t bits = 1; bits <= 4; bits++) {
        quash_product *const product = test_product(context, DIM, bits, 3);
        const struct test_codes c = test_codes_new(MANY, DIM);
        test_product_encode(product, x, &c);
        const double expected = sqrt(test_dot(c.residual_norms, c.residual_norms, MANY) / MANY);
        test_product_dot(product, &c, NULL, query, 0, dots[0]);
        test_product_dot(product, &c, ones, query, 0, dots[1]);
        test_product_dot(product, &c, zeros, query, 0, dots[2]);
        for (size_t r = 0; r < MANY; r++) {
            const double sketch = (double)dots[1][r] - (double)dots[2][r];
            CHECK_NEAR((double)dots[0][r] - (double)dots[2][r], expected * sketch,
                       0.01 * expected * fabs(sketch) + 1e-5 * (double)c.norms[r]);
        }
        test_codes_free(&c);
        quash_product_free(product);
    }
}

/* Strided, backward and half-precision rows; strided codes. */
TEST(views_of_any_shape) {
    enum { DIM = 24, MANY = 10, WIDE = 31 };
    static float x[MANY * DIM];
    static float wide[MANY * WIDE];
    static uint16_t half[MANY * DIM];
    static uint8_t codes[MANY * WIDE];
    quash_product *const product = test_product(context, DIM, 4, 3);
    const struct test_codes c = test_codes_new(MANY, DIM);
    const struct test_codes e = test_codes_new(MANY, DIM);
    for (size_t i = 0; i < COUNT_OF(x); i++) {
        x[i] = (float)((int)test_below(&rng, 255) - 127);
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        half[i] = (uint16_t)(bits >> 16); /* exact: 8 significant bits */
        wide[(MANY - 1 - i / DIM) * WIDE + i % DIM] = x[i];
    }
    test_product_encode(product, x, &c);
    quash_array rows = test_floats(wide + (MANY - 1) * WIDE, MANY, DIM);
    rows.stride[0] = -WIDE;
    quash_array out = test_bytes(codes, MANY, DIM);
    out.stride[0] = WIDE;
    const quash_array signs = test_bytes(e.signs, MANY, DIM);
    CHECK_EQ(quash_product_encode(product, &rows, &out, &signs, e.norms, e.residual_norms),
             QUASH_OK);
    for (size_t r = 0; r < MANY; r++) {
        memcpy(e.codes + r * DIM, codes + r * WIDE, DIM);
        for (size_t i = DIM; i < WIDE; i++) {
            CHECK_EQ(codes[r * WIDE + i], 0);
        }
    }
    CHECK(test_codes_equal(&c, &e));
    memset(e.codes, 0x5A, MANY * DIM);
    rows = quash_array_view(half, QUASH_BF16, 2, MANY, DIM, 0);
    out = test_bytes(e.codes, MANY, DIM);
    CHECK_EQ(quash_product_encode(product, &rows, &out, &signs, e.norms, e.residual_norms),
             QUASH_OK);
    CHECK(test_codes_equal(&c, &e));
    test_codes_free(&c);
    test_codes_free(&e);
    quash_product_free(product);
}

/* S q alone would overflow. */
TEST(dots_of_large_queries_are_right) {
    enum { D = 64 };
    quash_context *const own = test_context(NULL);
    quash_product_params params = QUASH_PRODUCT_PARAMS_INIT;
    params.dim = D;
    quash_product *product = NULL;
    CHECK_EQ(quash_product_create(&product, own, &params), QUASH_OK);
    float x[D], q[D], small[D], norm, residual, dots[2];
    uint8_t codes[D], signs[D];
    for (int i = 0; i < D; i++) {
        x[i] = (float)(i % 7 - 3);
        small[i] = i % 2 == 0 ? 1.0f : -1.0f;
        q[i] = small[i] * 0x1p120f;
    }
    const quash_array rows = quash_array_view(x, QUASH_F32, 2, 1, D, 0);
    const quash_array code_array = quash_array_view(codes, QUASH_U8, 2, 1, D, 0);
    const quash_array sign_array = quash_array_view(signs, QUASH_U8, 2, 1, D, 0);
    const quash_array large = quash_array_view(q, QUASH_F32, 2, 1, D, 0);
    const quash_array unit = quash_array_view(small, QUASH_F32, 2, 1, D, 0);
    CHECK_EQ(quash_product_encode(product, &rows, &code_array, &sign_array, &norm, &residual),
             QUASH_OK);
    CHECK_EQ(quash_product_dot(product, &code_array, &sign_array, &norm, &residual, &large, dots),
             QUASH_OK);
    CHECK_EQ(
        quash_product_dot(product, &code_array, &sign_array, &norm, &residual, &unit, dots + 1),
        QUASH_OK);
    CHECK(dots[0] == dots[1] * 0x1p120f);
    quash_product_free(product);
    quash_context_free(own);
}

int main(void) {
    RUN(dots_of_large_queries_are_right);
    context = test_context(NULL);
    rng = test_rng_start(77);
    RUN(matrix_is_normal);
    RUN(matrix_follows_the_seed);
    RUN(codes_and_estimates_follow_the_formula);
    RUN(calls_may_be_split);
    RUN(rows_of_any_size);
    RUN(expected_residual_norm);
    RUN(views_of_any_shape);
    quash_context_free(context);
    return test_report();
}
