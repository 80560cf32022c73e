/* SPDX-License-Identifier: Apache-2.0 */
/* lloyd_max.c: optimal scalar levels for one coordinate of a random point on a sphere, or of the
 * standard normal. Theory, not part of the exact zone: double arithmetic and libm.
 *
 * On the sphere of radius sqrt(d) a coordinate is x = sqrt(d) sin(t) with t of density proportional
 * to cos(t)^(d-2), which is smooth for every d >= 2. The normal is x = t with exp(-t^2/2). Moments
 * of the density are tabulated once on a grid; a cell between two thresholds is a difference of
 * table entries plus two fractions of a grid step. By symmetry only the positive half is solved. */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "codec/codebook.h"

#define GRID 512

struct moments {
    double mass;
    double first;
    double second;
};

struct coordinate {
    int32_t dim; /* 0: normal */
    double end;  /* the parameter t runs from 0 to end */
    double width;
    struct moments below[GRID + 1]; /* integrals over [0, i * width] */
};

static double value_at(const struct coordinate *c, double t) {
    return c->dim == 0 ? t : sqrt((double)c->dim) * sin(t);
}

static double parameter_of(const struct coordinate *c, double x) {
    const double ratio = c->dim == 0 ? 0.0 : x / sqrt((double)c->dim);
    const double t = c->dim == 0 ? x : (ratio >= 1.0 ? c->end : asin(ratio));
    return t < c->end ? t : c->end;
}

static double weight_at(const struct coordinate *c, double t) {
    if (c->dim == 0) {
        return exp(-0.5 * t * t);
    }
    return c->dim == 2 ? 1.0 : exp((double)(c->dim - 2) * log(cos(t)));
}

/* Adds the integrals over [a, b], at most one grid step wide, by four-point Gauss-Legendre. */
static void add_step(const struct coordinate *c, double a, double b, struct moments *sum) {
    static const double node[4] = { -0.8611363115940526, -0.3399810435848563, 0.3399810435848563,
                                    0.8611363115940526 };
    static const double share[4] = { 0.3478548451374538, 0.6521451548625461, 0.6521451548625461,
                                     0.3478548451374538 };
    const double half = 0.5 * (b - a);
    for (int i = 0; i < 4; i++) {
        const double t = a + half + half * node[i];
        const double x = value_at(c, t);
        const double mass = half * share[i] * weight_at(c, t);
        sum->mass += mass;
        sum->first += mass * x;
        sum->second += mass * x * x;
    }
}

static void tabulate(struct coordinate *c, int32_t dim) {
    const double half_turn = 1.5707963267948966;
    /* Beyond 12 standard deviations less than 1e-32 of the mass is left. */
    const double cut = 12.0 / (dim > 2 ? sqrt((double)(dim - 2)) : 1.0);
    c->dim = dim;
    c->end = dim == 0 ? 12.0 : (cut < half_turn ? cut : half_turn);
    c->width = c->end / GRID;
    memset(&c->below[0], 0, sizeof c->below[0]);
    for (int i = 0; i < GRID; i++) {
        c->below[i + 1] = c->below[i];
        add_step(c, i * c->width, (i + 1) * c->width, &c->below[i + 1]);
    }
}

static struct moments below_value(const struct coordinate *c, double x) {
    const double t = parameter_of(c, x);
    int step = (int)(t / c->width);
    step = step < GRID ? step : GRID - 1;
    struct moments sum = c->below[step];
    add_step(c, step * c->width, t, &sum);
    return sum;
}

/* One Lloyd iteration over the `half` positive levels: every level moves to the mean of its cell.
 * Returns the largest move; *error is the squared error at the levels that came in. */
static double improve(const struct coordinate *c, int32_t half, double *levels, double *error) {
    struct moments low = { 0.0, 0.0, 0.0 };
    double largest_move = 0.0;
    *error = 0.0;
    for (int32_t i = 0; i < half; i++) {
        const double level = levels[i];
        const struct moments high =
            i + 1 < half ? below_value(c, 0.5 * (level + levels[i + 1])) : c->below[GRID];
        const double mass = high.mass - low.mass;
        const double first = high.first - low.first;
        *error += (high.second - low.second) - 2.0 * level * first + level * level * mass;
        const double moved = mass > 0.0 ? first / mass : level;
        largest_move = fmax(largest_move, fabs(moved - level));
        levels[i] = moved;
        low = high;
    }
    return largest_move;
}

static void solve(struct coordinate *c, int32_t dim, int32_t bits, double *levels, double *nmse) {
    const struct quash_codebook *const start = quash_codebook_for(bits);
    const int32_t half = start->half;
    double positive[8];
    tabulate(c, dim);
    /* The largest coordinate is sqrt(dim): start inside it. */
    const double largest = (double)start->step * start->values[2 * half - 1];
    const double reach = value_at(c, c->end);
    const double shrink = largest < 0.95 * reach ? 1.0 : 0.95 * reach / largest;
    for (int32_t i = 0; i < half; i++) {
        positive[i] = shrink * (double)start->step * start->values[half + i];
    }
    double error = 0.0;
    for (int iteration = 0; iteration < 10000; iteration++) {
        if (improve(c, half, positive, &error) < 1e-12) {
            break;
        }
    }
    for (int32_t i = 0; i < half; i++) {
        levels[half + i] = positive[i];
        levels[half - 1 - i] = -positive[i];
    }
    *nmse = error / c->below[GRID].second;
}

double quash_codebook_error(int32_t dim, int32_t bits) {
    if (bits == 0) {
        return 1.0;
    }
    const struct quash_codebook *const book = quash_codebook_for(bits);
    struct coordinate coordinate;
    tabulate(&coordinate, dim);
    double levels[8];
    for (int32_t i = 0; i < book->half; i++) {
        levels[i] = (double)book->step * book->values[book->half + i];
    }
    double error;
    (void)improve(&coordinate, book->half, levels, &error);
    return error / coordinate.below[GRID].second;
}

quash_status quash_codebook_solve(int32_t dim, int32_t bits, double *levels, double *nmse) {
    if (levels == NULL || nmse == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s is NULL", levels == NULL ? "levels" : "nmse");
    }
    if (bits < 1 || bits > 4) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "bits is %d, expected 1..4", (int)bits);
    }
    if (dim != 0 && (dim < 2 || dim > QUASH_DIM_MAX)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "dim is %d, expected 0 (normal) or 2..%d", (int)dim,
                          QUASH_DIM_MAX);
    }
    struct coordinate coordinate; /* 12 KiB */
    solve(&coordinate, dim, bits, levels, nmse);
    return QUASH_OK;
}
