/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the presets of mixed precision are the documented splits at the documented rates, and
 * the answer to every argument that does not fit. */
#include "product_support.h"

static quash_context *context;

/* The documented splits, and that nothing but the four fields changes. */
TEST(presets) {
    static const struct {
        int32_t preset;
        int32_t dim;
        int32_t outlier_bits;
        int32_t regular_bits;
        int32_t outlier_count;
        double bits;
    } expected[] = {
        { QUASH_MIXED_2_25, 128, 3, 2, 32, 2.25 }, { QUASH_MIXED_2_25, 4, 3, 2, 1, 2.25 },
        { QUASH_MIXED_2_5, 128, 3, 2, 64, 2.5 },   { QUASH_MIXED_2_5, 90, 3, 2, 45, 2.5 },
        { QUASH_MIXED_3_5, 128, 4, 3, 64, 3.5 },   { QUASH_MIXED_3_5, 2, 4, 3, 1, 3.5 },
    };
    int32_t channels[128];
    for (int32_t i = 0; i < 128; i++) {
        channels[i] = i;
    }
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        for (int32_t kind = 0; kind < 2; kind++) {
            quash_mixed_params params = { sizeof params, 7, 1, 1, channels, 7, 3, 2, kind, 99 };
            CHECK_EQ(quash_mixed_preset_params(&params, expected[i].preset, expected[i].dim),
                     QUASH_OK);
            CHECK_EQ(params.dim, expected[i].dim);
            CHECK_EQ(params.outlier_bits, expected[i].outlier_bits - kind);
            CHECK_EQ(params.regular_bits, expected[i].regular_bits - kind);
            CHECK_EQ(params.outlier_count, expected[i].outlier_count);
            CHECK(params.outliers == channels && params.scale_policy == 3);
            CHECK(params.search_level == 2 && params.product == kind && params.seed == 99);
            quash_mixed *const mixed = test_mixed(context, &params);
            CHECK(quash_mixed_bits(mixed) == expected[i].bits);
            quash_mixed_free(mixed);
        }
    }
}

static void preset_fails(int32_t preset, int32_t dim, int32_t kind, const char *message, int line) {
    quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
    params.product = kind;
    const quash_mixed_params kept = params;
    (void)test_check_fails(quash_mixed_preset_params(&params, preset, dim), QUASH_ERROR_ARGUMENT,
                           message, __FILE__, line, message);
    CHECK(memcmp(&params, &kept, sizeof params) == 0);
}

TEST(presets_that_do_not_fit) {
    quash_mixed_params params = { 0 };
    CHECK_FAILS(quash_mixed_preset_params(NULL, QUASH_MIXED_2_5, 128), QUASH_ERROR_ARGUMENT,
                "params: struct_size is 0, expected 48");
    CHECK_FAILS(quash_mixed_preset_params(&params, QUASH_MIXED_2_5, 128), QUASH_ERROR_ARGUMENT,
                "params: struct_size is 0, expected 48");
    preset_fails(-1, 128, 0, "preset is -1, expected 0..2", __LINE__);
    preset_fails(3, 128, 0, "preset is 3, expected 0..2", __LINE__);
    preset_fails(QUASH_MIXED_2_5, 0, 0, "dim is 0, expected 1..16384", __LINE__);
    preset_fails(QUASH_MIXED_2_5, 16386, 0, "dim is 16386, expected 1..16384", __LINE__);
    preset_fails(QUASH_MIXED_2_5, 8194, 1, "dim is 8194, expected 1..8192", __LINE__);
    preset_fails(QUASH_MIXED_2_25, 90, 0, "dim is 90, expected a multiple of 4 for 2.25 bits",
                 __LINE__);
    preset_fails(QUASH_MIXED_2_5, 127, 0, "dim is 127, expected a multiple of 2 for 2.5 bits",
                 __LINE__);
    preset_fails(QUASH_MIXED_3_5, 1, 1, "dim is 1, expected a multiple of 2 for 3.5 bits",
                 __LINE__);
}

int main(void) {
    context = test_context(NULL);
    RUN(presets);
    RUN(presets_that_do_not_fit);
    quash_context_free(context);
    return test_report();
}
