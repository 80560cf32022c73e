/* SPDX-License-Identifier: Apache-2.0 */
/* api_theory.c: the bounds of arXiv 2504.19874. */
#include <quash/theory.h>

#include <math.h>

#include "codec/codebook.h"

#define PI 3.141592653589793

double quash_theory_mse_lower_bound(int32_t bits) {
    return bits >= 0 ? exp2(-2.0 * bits) : (double)NAN;
}

double quash_theory_mse_bound(int32_t bits) {
    return sqrt(3.0) * PI / 2.0 * quash_theory_mse_lower_bound(bits);
}

double quash_theory_product_lower_bound(int32_t dim, int32_t bits) {
    return dim >= 1 && bits >= 1 ? quash_theory_mse_lower_bound(bits) / dim : (double)NAN;
}

double quash_theory_product_bound(int32_t dim, int32_t bits) {
    return sqrt(3.0) * PI * PI * quash_theory_product_lower_bound(dim, bits);
}

double quash_theory_product_variance(int32_t dim, int32_t bits) {
    if (dim < 2 || dim > QUASH_DIM_MAX || bits < 1 || bits > 4) {
        return (double)NAN;
    }
    return (PI / 2.0 - 1.0 / dim) / dim * quash_codebook_error(dim, bits - 1);
}
