/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the rotation is orthonormal for every dim: it keeps norms and inner products, undo
 * inverts it, and it depends on the seed. Also that no coordinate is left out: at a dim that is no
 * power of two the energy of any one input coordinate spreads over the whole row. */
#include "support.h"

#include "codec/rotation.h"

struct rotation {
    struct quash_rotation rotation;
    uint8_t *signs;
};

static struct rotation start(size_t dim, int32_t rounds, uint64_t seed) {
    struct rotation r;
    r.signs = test_alloc(quash_rotation_sign_bytes(dim, rounds));
    quash_rotation_init(&r.rotation, dim, rounds, seed, r.signs);
    return r;
}

static void check_dim(size_t dim, int32_t rounds) {
    struct quash_kernels table;
    const struct quash_kernels *const kernels = &table;
    quash_kernels_fill(&table, QUASH_CPU_C);
    struct rotation r = start(dim, rounds, 42);
    struct rotation other = start(dim, rounds, 43);
    float *const x = test_alloc(5 * dim * sizeof *x);
    float *const a = x + dim;
    float *const b = x + 2 * dim;
    float *const y = x + 3 * dim;
    float *const c = x + 4 * dim;
    struct test_rng rng = test_rng_start(dim);
    test_fill_gaussian(&rng, x, dim);
    test_fill_gaussian(&rng, y, dim);
    memcpy(a, x, dim * sizeof *x);
    memcpy(b, y, dim * sizeof *x);
    memcpy(c, x, dim * sizeof *x);
    quash_rotation_apply(&r.rotation, kernels, a);
    quash_rotation_apply(&r.rotation, kernels, b);
    quash_rotation_apply(&other.rotation, kernels, c);

    const double norm = sqrt(test_dot(x, x, dim));
    const double lengths = norm * sqrt(test_dot(y, y, dim));
    bool ok = CHECK_NEAR(sqrt(test_dot(a, a, dim)) / norm, 1.0, 1e-6);
    ok &= CHECK_NEAR(test_dot(a, b, dim) / lengths, test_dot(x, y, dim) / lengths, 2e-6);
    if (dim >= 8) { /* fewer signs may agree by chance */
        ok &= CHECK(test_squared_error(a, c, dim) > 0.01 * norm * norm);
        ok &= CHECK(test_squared_error(a, x, dim) > 0.01 * norm * norm);
    }
    quash_rotation_undo(&r.rotation, kernels, a);
    ok &= CHECK(sqrt(test_squared_error(a, x, dim)) <= 1e-5 * norm);
    if (!ok) {
        printf("    at dim %zu, %d rounds\n", dim, (int)rounds);
    }
    free(x);
    free(r.signs);
    free(other.signs);
}

TEST(orthonormal_at_every_dim) {
    static const size_t large[] = { 301,  384,  511,  512,  513,  576,   768,   1000,  1023,
                                    1024, 1025, 1536, 2000, 2048, 3000,  4095,  4096,  5000,
                                    6144, 8191, 8192, 8193, 9973, 12288, 16380, 16383, 16384 };
    for (size_t dim = 1; dim <= 300; dim++) {
        check_dim(dim, 1);
        check_dim(dim, 2);
    }
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        check_dim(large[i], 2);
    }
}

/* The largest error of an undone row over many rows and seeds. */
TEST(undo_inverts_for_many_seeds) {
    static const size_t dims[] = { 1, 2, 3, 7, 48, 100, 128, 577 };
    struct quash_kernels table;
    const struct quash_kernels *const kernels = &table;
    quash_kernels_fill(&table, QUASH_CPU_C);
    struct test_rng rng = test_rng_start(5);
    double worst = 0.0;
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        for (uint64_t seed = 0; seed < 50; seed++) {
            float x[1024] = { 0.0f };
            float y[1024];
            struct rotation r = start(dims[i], 2, test_word(&rng));
            test_fill_gaussian(&rng, x, dims[i]);
            memcpy(y, x, sizeof y);
            quash_rotation_apply(&r.rotation, kernels, y);
            quash_rotation_undo(&r.rotation, kernels, y);
            worst = fmax(worst, sqrt(test_squared_error(x, y, dims[i]) / test_dot(x, x, dims[i])));
            free(r.signs);
        }
    }
    printf("    largest relative error of undo(apply(x)): %.2g\n", worst);
    CHECK(worst <= 1e-5);
}

TEST(energy_spreads_over_the_row) {
    static const size_t dims[] = { 48, 96, 124, 127, 252, 576 };
    struct quash_kernels table;
    const struct quash_kernels *const kernels = &table;
    quash_kernels_fill(&table, QUASH_CPU_C);
    enum { SEEDS = 400 };
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        const size_t dim = dims[i];
        double energy[1024] = { 0.0 };
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            float x[1024] = { 0.0f };
            struct rotation r = start(dim, 2, seed);
            x[seed % dim] = 1.0f;
            quash_rotation_apply(&r.rotation, kernels, x);
            for (size_t j = 0; j < dim; j++) {
                energy[j] += (double)x[j] * (double)x[j] * (double)dim / SEEDS;
            }
            free(r.signs);
        }
        double low = energy[0];
        double high = energy[0];
        for (size_t j = 0; j < dim; j++) {
            low = fmin(low, energy[j]);
            high = fmax(high, energy[j]);
        }
        printf("    dim %zu: energy per coordinate %.3f .. %.3f of the mean\n", dim, low, high);
        /* Each is a mean of 400 squares of variance 2: 5 standard errors are 0.35. */
        CHECK(low > 0.65);
        CHECK(high < 1.35);
    }
}

int main(void) {
    RUN(orthonormal_at_every_dim);
    RUN(undo_inverts_for_many_seeds);
    RUN(energy_spreads_over_the_row);
    return test_report();
}
