/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the inner-product quantizer is what the paper says of its Algorithm 2: unbiased at
 * fixed vectors, over seeds; of variance (pi/2 |q|^2 |r|^2 - <q,r>^2)/dim there and of
 * quash_theory_product_variance for random queries. And that two shortcuts are not: the expected
 * residual norm in place of the true one has a bias, within what product.h says, and signs of the
 * residual without the projection lose a tenth of the inner product at 3 bits. */
#include <quash/theory.h>

#include "codec/product.h"
#include "product_support.h"

enum { SEEDS = 2000, PAIRS = 3, DIM_MAX = 256 };

/* Every so many seeds are tried without residual norms too. */
enum { NULL_EVERY = 4 };

static quash_context *context;

/* The same quantizer at fewer bits, without drawing the matrix again; the matrix stays with the
 * original. The test below compares it with one that was created so. */
static quash_product at_bits(const quash_product *product, int32_t bits) {
    quash_product copy = *product;
    copy.params.bits = bits;
    if (bits > 1) {
        quash_quantizer_init(&copy.quantizer, copy.context->kernels, &product->rotation, bits - 1,
                             QUASH_SCALE_RAW_NORM, 0);
    }
    copy.expected_residual = (float)sqrt(quash_codebook_error(copy.params.dim, bits - 1));
    return copy;
}

TEST(fewer_bits_share_the_matrix) {
    enum { ROWS = 20, DIM = 72 };
    struct test_rng rng = test_rng_start(1);
    static float x[ROWS * DIM];
    float dots[2][ROWS];
    test_fill_gaussian(&rng, x, COUNT_OF(x));
    quash_product *const most = test_product(context, DIM, 4, 5);
    for (int32_t bits = 1; bits <= 4; bits++) {
        quash_product *const created = test_product(context, DIM, bits, 5);
        const quash_product copy = at_bits(most, bits);
        const struct test_codes a = test_codes_new(ROWS, DIM);
        const struct test_codes b = test_codes_new(ROWS, DIM);
        test_product_encode(created, x, &a);
        test_product_encode(&copy, x, &b);
        CHECK(test_codes_equal(&a, &b));
        for (int with = 0; with < 2; with++) {
            test_product_dot(created, &a, with ? a.residual_norms : NULL, x, DIM, dots[0]);
            test_product_dot(&copy, &b, with ? b.residual_norms : NULL, x, DIM, dots[1]);
            CHECK(memcmp(dots[0], dots[1], sizeof dots[0]) == 0);
        }
        test_codes_free(&a);
        test_codes_free(&b);
        quash_product_free(created);
    }
    quash_product_free(most);
}

/* ---- Fixed vectors, many seeds ------------------------------------------------------------- */

/* One query of length 2.5 and the vectors it meets. */
struct vectors {
    size_t dim;
    float query[DIM_MAX];
    float x[PAIRS * DIM_MAX];
};

static const char *const pair_names[PAIRS] = { "independent, times 1e20", "cosine .9", "one-hot" };

static void make_vectors(struct vectors *v, size_t dim) {
    struct test_rng rng = test_rng_start(100 + dim);
    v->dim = dim;
    test_fill_gaussian(&rng, v->query, dim);
    test_normalize(v->query, dim);
    test_fill_gaussian(&rng, v->x, PAIRS * dim);
    static const double cosines[PAIRS] = { 0.0, 0.9, 0.0 };
    for (size_t p = 0; p < PAIRS; p++) {
        float *const x = v->x + p * dim;
        test_normalize(x, dim);
        const double sine = sqrt(1.0 - cosines[p] * cosines[p]);
        for (size_t i = 0; i < dim; i++) {
            const double mixed = cosines[p] * (double)v->query[i] + sine * (double)x[i];
            x[i] = p == 2 ? (i == 17 ? -3.0f : 0.0f) : (float)(mixed * (p == 0 ? 1e20 : 1.5));
        }
    }
    for (size_t i = 0; i < dim; i++) {
        v->query[i] *= 2.5f;
    }
}

/* Of one pair at one bit width, over seeds, for |q| = |x| = 1. */
struct statistics {
    struct test_mean error;
    struct test_mean square;
    struct test_mean formula;  /* what the square should be, given the rotation */
    struct test_mean null;     /* error without residual norms */
    struct test_mean surprise; /* the same, less the bias it should have */
    struct test_mean residual; /* |r| */
    struct test_mean stretch;  /* (expected |r| / |r| - 1)^2 */
};

/* Cosine of query and row p, and of query and its residual; both of double precision. */
static void add_seed(const quash_product *product, const struct vectors *v, bool with_null,
                     struct statistics statistics[PAIRS]) {
    const size_t dim = v->dim;
    const double length = sqrt(test_dot(v->query, v->query, dim));
    const struct test_codes c = test_codes_new(PAIRS, dim);
    float query[DIM_MAX];
    float rotated[PAIRS * DIM_MAX];
    double residual[DIM_MAX];
    float dots[PAIRS];
    float null_dots[PAIRS];
    test_product_rotate(product, v->query, 1, dim, query);
    test_product_rotate(product, v->x, PAIRS, dim, rotated);
    test_product_encode(product, v->x, &c);
    test_product_dot(product, &c, c.residual_norms, query, 0, dots);
    if (with_null) {
        test_product_dot(product, &c, NULL, query, 0, null_dots);
    }
    for (size_t p = 0; p < PAIRS; p++) {
        struct statistics *const s = &statistics[p];
        const float *const x = v->x + p * dim;
        const double size = sqrt(test_dot(x, x, dim)) * length;
        const double exact = test_dot(v->query, x, dim) / size;
        const double gamma = (double)c.residual_norms[p];
        test_residual(rotated + p * dim, c.codes + p * dim, dim, product->params.bits - 1,
                      residual);
        double missed = 0.0;
        for (size_t i = 0; i < dim; i++) {
            missed += (double)query[i] / length * residual[i];
        }
        const double stretch = (double)product->expected_residual / gamma - 1.0;
        const double error = (double)dots[p] / size - exact;
        test_mean_add(&s->error, error);
        test_mean_add(&s->square, error * error);
        test_mean_add(&s->formula,
                      (1.5707963267948966 * gamma * gamma - missed * missed) / (double)dim);
        test_mean_add(&s->residual, gamma);
        test_mean_add(&s->stretch, stretch * stretch);
        if (with_null) {
            const double null_error = (double)null_dots[p] / size - exact;
            test_mean_add(&s->null, null_error);
            test_mean_add(&s->surprise, null_error - stretch * missed);
        }
    }
    test_codes_free(&c);
}

struct worst {
    double z;         /* of the mean error */
    double variance;  /* distance from the formula, in standard errors */
    double null_bias; /* without residual norms, of |r| */
};

static void check_statistics(const struct statistics *s, size_t dim, int32_t bits, size_t pair,
                             struct worst *worst) {
    const double z = test_mean_get(&s->error) / test_mean_error(&s->error);
    const double difference = test_mean_get(&s->square) - test_mean_get(&s->formula);
    const double v = difference / test_mean_error(&s->square);
    const double surprise = test_mean_get(&s->surprise) / test_mean_error(&s->surprise);
    const double gamma = test_mean_get(&s->residual);
    const double bias = fabs(test_mean_get(&s->null));
    if (!CHECK(fabs(z) < 4.0) || !CHECK(fabs(v) < 4.0) || !CHECK(fabs(surprise) < 4.0) ||
        !CHECK(bias < 0.05 * gamma + 4.0 * test_mean_error(&s->null))) {
        printf("    dim %zu, %d bits, %s: z %.2f, variance %.4g for %.4g (%.2f errors), without "
               "residual norms z %.2f, bias %.4f of %.4f\n",
               dim, (int)bits, pair_names[pair], z, test_mean_get(&s->square),
               test_mean_get(&s->formula), v, surprise, bias, gamma);
    }
    worst->z = fmax(worst->z, fabs(z));
    worst->variance = fmax(worst->variance, fabs(v));
    worst->null_bias = fmax(worst->null_bias, bias / gamma);
}

/* Statistical bars: 4 standard errors. The expected residual norm may cost 5 % of |r|: what
 * product.h calls a few per cent. */
TEST(unbiased_at_fixed_vectors) {
    static const size_t dims[] = { 64, 128, 256 };
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        static struct vectors v;
        static struct statistics statistics[4][PAIRS];
        struct worst worst = { 0 };
        make_vectors(&v, dims[d]);
        memset(statistics, 0, sizeof statistics);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            quash_product *const most = test_product(context, v.dim, 4, seed * 7919 + d);
            for (int32_t bits = 1; bits <= 4; bits++) {
                const quash_product product = at_bits(most, bits);
                add_seed(&product, &v, seed % NULL_EVERY == 0, statistics[bits - 1]);
            }
            quash_product_free(most);
        }
        double stretch = 0.0;
        for (int32_t bits = 1; bits <= 4; bits++) {
            for (size_t p = 0; p < PAIRS; p++) {
                check_statistics(&statistics[bits - 1][p], v.dim, bits, p, &worst);
                stretch = fmax(stretch, test_mean_get(&statistics[bits - 1][p].stretch));
            }
        }
        printf("dim %3zu, %d seeds: worst |z| %.2f, variance %.2f errors off; without residual "
               "norms: bias %.1f %% of |r|, |r| off by %.1f %%\n",
               v.dim, SEEDS, worst.z, worst.variance, 100.0 * worst.null_bias,
               100.0 * sqrt(stretch));
    }
}

/* ---- Random queries ------------------------------------------------------------------------ */

/* Encodes one row, and repeats it. */
static void encode_repeated(const quash_product *product, const float *x,
                            const struct test_codes *c) {
    struct test_codes one = *c;
    one.rows = 1;
    test_product_encode(product, x, &one);
    for (size_t r = 1; r < c->rows; r++) {
        memcpy(c->codes + r * c->dim, c->codes, c->dim);
        memcpy(c->signs + r * c->dim, c->signs, c->dim);
        c->norms[r] = c->norms[0];
        c->residual_norms[r] = c->residual_norms[0];
    }
}

TEST(variance_for_random_queries) {
    enum { SEEDS_HERE = 800, QUERIES = 12 };
    static const size_t dims[] = { 64, 128 };
    static const double paper[] = { 1.57, 0.56, 0.18, 0.047 };
    static float queries[QUERIES * 128];
    static float rotated[QUERIES * 128];
    float x[128];
    float dots[QUERIES];
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        const size_t dim = dims[d];
        struct test_rng rng = test_rng_start(200 + d);
        struct test_mean square[4] = { { 0 } };
        const struct test_codes c = test_codes_new(QUERIES, dim);
        for (uint64_t seed = 0; seed < SEEDS_HERE; seed++) {
            quash_product *const most = test_product(context, dim, 4, 1000000 + seed);
            test_fill_sphere(&rng, queries, QUERIES, dim);
            test_fill_sphere(&rng, x, 1, dim);
            test_product_rotate(most, queries, QUERIES, dim, rotated);
            for (int32_t bits = 1; bits <= 4; bits++) {
                const quash_product product = at_bits(most, bits);
                encode_repeated(&product, x, &c);
                test_product_dot(&product, &c, c.residual_norms, rotated, dim, dots);
                for (size_t i = 0; i < QUERIES; i++) {
                    const double exact = test_dot(queries + i * dim, x, dim);
                    const double error = (double)dots[i] - exact;
                    test_mean_add(&square[bits - 1], error * error);
                }
            }
            quash_product_free(most);
        }
        for (int32_t bits = 1; bits <= 4; bits++) {
            const double theory = quash_theory_product_variance((int32_t)dim, bits);
            const double measured = test_mean_get(&square[bits - 1]);
            CHECK_NEAR(measured / theory, 1.0, 0.05);
            CHECK(measured <= quash_theory_product_bound((int32_t)dim, bits));
            CHECK(measured >= quash_theory_product_lower_bound((int32_t)dim, bits));
            printf("dim %3zu, %d bits: variance * dim %.4f +- %.4f, theory %.4f (paper %g)\n", dim,
                   (int)bits, measured * (double)dim,
                   test_mean_error(&square[bits - 1]) * (double)dim, theory * (double)dim,
                   paper[bits - 1]);
        }
        test_codes_free(&c);
    }
}

/* ---- The estimate without a projection ----------------------------------------------------- */

/* Slope of estimates over exact values. */
struct slope {
    double products;
    double squares;
};

static void slope_add(struct slope *slope, double estimate, double exact) {
    slope->products += estimate * exact;
    slope->squares += exact * exact;
}

/* Signs of the residual's own coordinates, weighted by the vector's norm: sign(r) for sign(S r), q
 * for S q, and no |r|. It resembles the estimator, and repairs little of the levels' bias. */
static double unprojected(const float *query, const float *x, const uint8_t *codes, size_t dim,
                          int32_t bits) {
    double residual[DIM_MAX];
    double levels = 0.0;
    double sketch = 0.0;
    test_residual(x, codes, dim, bits, residual);
    for (size_t i = 0; i < dim; i++) {
        levels += (double)query[i] * test_level(dim, bits, codes[i]);
        sketch += residual[i] >= 0.0 ? (double)query[i] : -(double)query[i];
    }
    const double weight = sqrt(1.5707963267948966) / (double)dim;
    return sqrt(test_dot(x, x, dim)) * (levels + weight * sketch);
}

TEST(slope_is_one_by_the_projection) {
    enum { DIM = 128, ROWS = 200, SEEDS_HERE = 20 };
    static float x[ROWS * DIM];
    static float queries[ROWS * DIM];
    static float rotated[2][ROWS * DIM];
    float dots[ROWS];
    struct test_rng rng = test_rng_start(300);
    struct slope ours = { 0 };
    struct slope broken = { 0 };
    const struct test_codes c = test_codes_new(ROWS, DIM);
    for (uint64_t seed = 0; seed < SEEDS_HERE; seed++) {
        quash_product *const product = test_product(context, DIM, 3, 2000000 + seed);
        test_fill_sphere(&rng, x, ROWS, DIM);
        test_fill_sphere(&rng, queries, ROWS, DIM);
        for (size_t r = 0; r < ROWS; r++) { /* queries that resemble their vectors */
            for (size_t i = r * DIM; i < (r + 1) * DIM; i++) {
                queries[i] += x[i];
            }
        }
        test_product_rotate(product, x, ROWS, DIM, rotated[0]);
        test_product_rotate(product, queries, ROWS, DIM, rotated[1]);
        test_product_encode(product, x, &c);
        test_product_dot(product, &c, c.residual_norms, rotated[1], DIM, dots);
        for (size_t r = 0; r < ROWS; r++) {
            const size_t at = r * DIM;
            const double exact = test_dot(x + at, queries + at, DIM);
            slope_add(&ours, (double)dots[r], exact);
            slope_add(&broken, unprojected(rotated[1] + at, rotated[0] + at, c.codes + at, DIM, 2),
                      exact);
        }
        quash_product_free(product);
    }
    const double slope = ours.products / ours.squares;
    const double broken_slope = broken.products / broken.squares;
    CHECK_NEAR(slope, 1.0, 0.01);
    CHECK(broken_slope < 0.97);
    printf("3 bits: slope %.4f, without projection %.4f\n", slope, broken_slope);
    test_codes_free(&c);
}

int main(void) {
    context = test_context(NULL);
    RUN(fewer_bits_share_the_matrix);
    RUN(unbiased_at_fixed_vectors);
    RUN(variance_for_random_queries);
    RUN(slope_is_one_by_the_projection);
    quash_context_free(context);
    return test_report();
}
