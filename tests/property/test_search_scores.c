/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that scores mean what they say: with any centre they estimate the true score without bias
 * and within the error of the codec, L2 is never negative, results come in order with ties by the
 * lower id and padding behind, and the centre is what makes data far from the origin searchable. */
#include "index_reference.h"

#define DIM 128
#define ROWS 1500
#define QUERIES 20
#define SCORED 300 /* rows of which all scores are measured */

static const double distortion[4] = { .3634, .1175, .03454, .0095 };

struct data {
    float *rows;    /* [ROWS][DIM] */
    float *queries; /* [QUERIES][DIM] */
};

/* Gaussian rows around an offset in every coordinate. */
static struct data data_make(uint64_t seed, float offset) {
    struct test_rng rng = test_rng_start(seed);
    struct data data = { test_alloc(ROWS * DIM * sizeof(float)),
                         test_alloc(QUERIES * DIM * sizeof(float)) };
    test_fill_gaussian(&rng, data.rows, ROWS * DIM);
    test_fill_gaussian(&rng, data.queries, QUERIES * DIM);
    for (size_t i = 0; i < ROWS * DIM; i++) {
        data.rows[i] += offset;
    }
    for (size_t i = 0; i < QUERIES * DIM; i++) {
        data.queries[i] += offset;
    }
    return data;
}

static void data_free(const struct data *data) {
    free(data->rows);
    free(data->queries);
}

/* ---- Any centre -------------------------------------------------------------------------- */

/* The standard error that coding gives to <q-c, x-c>, of three parts. What of q - c is across x - c
 * meets an error of the row of |x-c|^2 D / (1 - D), spread over the other dimensions. The digits of
 * the query err by 1/sqrt(12) of a unit, which is about 3.2/127 of a mean coordinate. Sums are
 * rounded to binary32. */
static double expected_error(const float *q, const float *x, const float *c, int32_t bits) {
    double qx = 0.0;
    double qq = 0.0;
    double xx = 0.0;
    for (size_t i = 0; i < DIM; i++) {
        const double a = (double)q[i] - (double)c[i];
        const double b = (double)x[i] - (double)c[i];
        qx += a * b;
        qq += a * a;
        xx += b * b;
    }
    const double d = distortion[bits - 1];
    const double across = fmax(qq - qx * qx / xx, 0.0);
    const double rows = across * xx * d / (1.0 - d) / (DIM - 1);
    const double unit = 3.2 / 127.0 * sqrt(qq / DIM);
    const double digits = unit * unit / 12.0 * xx / (1.0 - d);
    return sqrt(rows + digits) + 1e-7 * sqrt(qq * xx);
}

struct accuracy {
    double slope; /* of score over true score */
    double error; /* rms, in units of the expected error */
    double worst; /* the same, largest */
};

static struct accuracy measure(const quash_index *index, const struct data *data, const float *c) {
    const int32_t metric = index->params.metric;
    const struct test_result found = test_search(index, data->queries, QUERIES, DIM, SCORED);
    struct accuracy accuracy = { 0.0, 0.0, 0.0 };
    double st = 0.0;
    double s = 0.0;
    double t = 0.0;
    double tt = 0.0;
    float q[DIM];
    float x[DIM];
    for (int64_t i = 0; i < QUERIES * SCORED; i++) {
        const double score = (double)found.scores[i];
        ref_prepare(metric, data->queries + i / SCORED * DIM, DIM, q);
        ref_prepare(metric, data->rows + found.ids[i] * DIM, DIM, x);
        const double truth = ref_true_score(metric, q, x, DIM);
        const double factor = metric == QUASH_METRIC_L2 ? 2.0 : 1.0;
        const double error =
            (score - truth) / (factor * expected_error(q, x, c, index->params.bits));
        accuracy.error += error * error / (QUERIES * SCORED);
        accuracy.worst = fmax(accuracy.worst, fabs(error));
        CHECK(metric != QUASH_METRIC_L2 || score >= 0.0);
        s += score;
        t += truth;
        st += score * truth;
        tt += truth * truth;
    }
    const double n = QUERIES * SCORED;
    accuracy.slope = (st - s * t / n) / (tt - t * t / n);
    accuracy.error = sqrt(accuracy.error);
    test_result_free(&found);
    return accuracy;
}

/* Means over rotations: with c off the origin rows share a direction, and so part of the error. */
static struct accuracy measure_rotations(quash_context *context, const struct data *data,
                                         quash_index_params params, const float *centre,
                                         uint64_t rotations) {
    struct accuracy mean = { 0.0, 0.0, 0.0 };
    params.centre = centre;
    for (params.seed = 1; params.seed <= rotations; params.seed++) {
        quash_index *const index = test_index(context, &params);
        test_add(index, data->rows, SCORED, DIM);
        const struct accuracy a = measure(index, data, centre);
        mean.slope += a.slope / (double)rotations;
        mean.error += a.error / (double)rotations;
        mean.worst = fmax(mean.worst, a.worst);
        quash_index_free(index);
    }
    return mean;
}

/* 0, a random one like the data, and ones ten and a thousand times as far away. */
TEST(scores_are_unbiased_with_any_centre) {
    static const double distances[] = { 0.0, 1.0, 10.0, 1000.0 };
    quash_context *const context = test_context(NULL);
    const struct data data = data_make(1, 0.0f);
    printf("     distance of c, metric, bits: slope, rms error / expected, largest\n");
    for (size_t i = 0; i < COUNT_OF(distances) * 12; i++) {
        const int32_t bits = 1 + (int32_t)i % 4;
        const int32_t metric = (int32_t)i / 4 % 3;
        const double distance = distances[i / 12];
        const double size = metric == QUASH_METRIC_COSINE ? distance / sqrt(DIM) : distance;
        struct test_rng rng = test_rng_start(77 + (uint64_t)metric);
        float centre[DIM];
        for (size_t j = 0; j < DIM; j++) {
            centre[j] = (float)(size * test_normal(&rng));
        }
        const quash_index_params params = test_index_params(DIM, bits, metric);
        const struct accuracy a =
            measure_rotations(context, &data, params, centre, distance == 1.0 ? 16 : 2);
        printf("     %6.0f  %d  %d:  %8.4f  %.3f  %.2f\n", distance, (int)metric, (int)bits,
               a.slope, a.error, a.worst);
        CHECK(distance > 1.0 || fabs(a.slope - 1.0) <= .02);
        /* Far away all rows are coded nearly alike and their errors agree: few samples. */
        CHECK(distance > 1.0 || fabs(a.error - 1.0) <= .1);
        CHECK(a.error < 1.8);
        CHECK(a.worst < 9.0);
    }
    data_free(&data);
    quash_context_free(context);
}

/* ---- Data far from the origin ------------------------------------------------------------ */

static double recall_at_10(const quash_index *index, const struct data *data) {
    const int32_t metric = index->params.metric;
    const struct test_result found = test_search(index, data->queries, QUERIES, DIM, 10);
    long hits = 0;
    for (int64_t j = 0; j < QUERIES; j++) {
        const float *const q = data->queries + j * DIM;
        for (int64_t a = 0; a < 10; a++) { /* a hit: fewer than ten rows are nearer */
            const int64_t id = found.ids[j * 10 + a];
            const double score = ref_true_score(metric, q, data->rows + id * DIM, DIM);
            long nearer = 0;
            for (int64_t r = 0; r < ROWS; r++) {
                nearer += test_ranks_before(
                    metric, ref_true_score(metric, q, data->rows + r * DIM, DIM), r, score, id);
            }
            hits += nearer < 10;
        }
    }
    test_result_free(&found);
    return (double)hits / (QUERIES * 10);
}

TEST(the_centre_finds_data_with_a_large_offset) {
    static const float zero[DIM] = { 0.0f };
    quash_context *const context = test_context(NULL);
    const struct data near = data_make(2, 0.0f);
    const struct data far = data_make(2, 1000.0f);
    for (int32_t metric = QUASH_METRIC_IP; metric <= QUASH_METRIC_L2; metric += 2) {
        quash_index_params params = test_index_params(DIM, 4, metric);
        quash_index *const at_origin = test_index(context, &params);
        quash_index *const with_centre = test_index(context, &params);
        params.centre = zero;
        quash_index *const without = test_index(context, &params);
        test_add(at_origin, near.rows, ROWS, DIM);
        test_add(with_centre, far.rows, ROWS, DIM);
        test_add(without, far.rows, ROWS, DIM);
        const double good = recall_at_10(at_origin, &near);
        const double centred = recall_at_10(with_centre, &far);
        const double poor = recall_at_10(without, &far);
        printf("     metric %d: R@10 %.3f at the origin, %.3f far away, %.3f without a centre\n",
               (int)metric, good, centred, poor);
        CHECK(good > .8);
        CHECK(centred >= good - .03);
        CHECK(metric == QUASH_METRIC_IP || poor < .5);
        quash_index_free(at_origin);
        quash_index_free(with_centre);
        quash_index_free(without);
    }
    data_free(&near);
    data_free(&far);
    quash_context_free(context);
}

/* ---- Order ------------------------------------------------------------------------------- */

static void check_order(const quash_index *index, const struct test_result *result) {
    const int32_t metric = index->params.metric;
    const int64_t count = quash_index_count(index);
    const float pad = metric == QUASH_METRIC_L2 ? INFINITY : -INFINITY;
    for (int64_t j = 0; j < result->queries; j++) {
        const float *const scores = result->scores + j * result->k;
        const int64_t *const ids = result->ids + j * result->k;
        bool *const seen = calloc((size_t)count + 1, 1);
        for (int64_t i = 0; i < result->k; i++) {
            if (i >= count) {
                CHECK(ids[i] == -1 && scores[i] == pad);
                continue;
            }
            if (!CHECK(ids[i] >= 0 && ids[i] < count && !seen[ids[i]] && isfinite(scores[i]))) {
                continue;
            }
            seen[ids[i]] = true;
            CHECK(i == 0 || scores[i - 1] == scores[i] ||
                  test_ranks_before(metric, (double)scores[i - 1], 0, (double)scores[i], 0));
        }
        free(seen);
    }
}

TEST(results_are_in_order_and_padded) {
    static const int64_t counts[] = { 0, 1, 7, 20, 21, 100 };
    static const int64_t ks[] = { 1, 2, 20, 21, 150 };
    quash_context *const context = test_context(NULL);
    const struct data data = data_make(3, 0.0f);
    for (int32_t metric = 0; metric < 3; metric++) {
        for (size_t i = 0; i < COUNT_OF(counts) * 2; i++) {
            quash_index_params params = test_index_params(DIM, 2, metric);
            params.centre_rows = 21;
            params.centre = i % 2 != 0 ? data.queries : NULL;
            quash_index *const index = test_index(context, &params);
            test_add(index, data.rows, counts[i / 2], DIM);
            for (size_t k = 0; k < COUNT_OF(ks); k++) {
                const struct test_result r = test_search(index, data.queries + DIM, 9, DIM, ks[k]);
                check_order(index, &r);
                test_result_free(&r);
            }
            quash_index_free(index);
        }
    }
    data_free(&data);
    quash_context_free(context);
}

/* Five copies of 30 rows: each group of equal scores lists its ids in ascending order, and k cuts
 * off the higher ones. */
TEST(ties_go_to_the_lower_id) {
    quash_context *const context = test_context(NULL);
    const struct data data = data_make(4, 0.0f);
    for (int32_t metric = 0; metric < 3; metric++) {
        for (int32_t raw = 0; raw < 2; raw++) {
            quash_index_params params = test_index_params(DIM, 4, metric);
            params.centre_rows = raw ? 1000 : 40;
            quash_index *const index = test_index(context, &params);
            for (int copy = 0; copy < 5; copy++) {
                test_add(index, data.rows, 30, DIM);
            }
            const struct test_result r = test_search(index, data.queries, 1, DIM, 150);
            const struct test_result cut = test_search(index, data.queries, 1, DIM, 8);
            for (int64_t i = 0; i < 150; i++) {
                CHECK_EQ(r.ids[i] % 30, r.ids[i / 5 * 5] % 30);
                CHECK_EQ(r.ids[i] / 30, i % 5);
                CHECK(i >= 8 || (cut.ids[i] == r.ids[i] && cut.scores[i] == r.scores[i]));
            }
            test_result_free(&r);
            test_result_free(&cut);
            quash_index_free(index);
        }
    }
    data_free(&data);
    quash_context_free(context);
}

int main(void) {
    RUN(scores_are_unbiased_with_any_centre);
    RUN(the_centre_finds_data_with_a_large_offset);
    RUN(results_are_in_order_and_padded);
    RUN(ties_go_to_the_lower_id);
    return test_report();
}
