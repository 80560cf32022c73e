/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the recall of the index on the SIFT sample, in the promised bytes: under cosine the mean
 * of 5 rotations reaches the pinned figure at each bit width, L2 and ip come close to it, and
 * ranking by integer dot products loses at most .003 against ranking by the same codes and the
 * unrounded query. Prints the figures. */
#include "index_reference.h"

#define K 10
#define SEEDS 5
#define FLOAT_SEEDS 1

static const double pinned[4] = { .565, .765, .870, .925 };

struct sample {
    float *rows;
    float *queries;
    int64_t *truth[3]; /* by metric, [SIFT_QUERIES][K] */
};

/* The K best rows for each query, in double. */
static int64_t *true_neighbours(int32_t metric, const float *rows, const float *queries) {
    float *const x = test_alloc(SIFT_ROWS * SIFT_DIM * sizeof *x);
    float q[SIFT_DIM];
    for (size_t r = 0; r < SIFT_ROWS; r++) {
        ref_prepare(metric, rows + r * SIFT_DIM, SIFT_DIM, x + r * SIFT_DIM);
    }
    int64_t *const truth = test_alloc(SIFT_QUERIES * K * sizeof *truth);
    for (size_t j = 0; j < SIFT_QUERIES; j++) {
        double best[K];
        int64_t *const ids = truth + j * K;
        size_t size = 0;
        ref_prepare(metric, queries + j * SIFT_DIM, SIFT_DIM, q);
        for (int64_t r = 0; r < SIFT_ROWS; r++) {
            const double score = ref_true_score(metric, q, x + (size_t)r * SIFT_DIM, SIFT_DIM);
            size_t at = size < K ? size++ : K;
            for (; at > 0 && test_ranks_before(metric, score, r, best[at - 1], ids[at - 1]); at--) {
                if (at < K) {
                    best[at] = best[at - 1];
                    ids[at] = ids[at - 1];
                }
            }
            if (at < K) {
                best[at] = score;
                ids[at] = r;
            }
        }
    }
    free(x);
    return truth;
}

static struct sample sample_read(void) {
    struct sample sample;
    sample.rows = test_read_sift("data/sift/base.bvecs", SIFT_ROWS);
    sample.queries = test_read_sift("data/sift/queries.bvecs", SIFT_QUERIES);
    for (int32_t metric = 0; metric < 3; metric++) {
        sample.truth[metric] = true_neighbours(metric, sample.rows, sample.queries);
    }
    return sample;
}

static void sample_free(const struct sample *sample) {
    free(sample->rows);
    free(sample->queries);
    for (int32_t metric = 0; metric < 3; metric++) {
        free(sample->truth[metric]);
    }
}

/* Share of the true neighbours found. */
static double recall(const int64_t *truth, const int64_t *found) {
    long hits = 0;
    for (size_t j = 0; j < SIFT_QUERIES; j++) {
        for (size_t a = 0; a < K; a++) {
            for (size_t b = 0; b < K; b++) {
                hits += truth[j * K + a] == found[j * K + b];
            }
        }
    }
    return (double)hits / (SIFT_QUERIES * K);
}

static quash_index *sift_index(quash_context *context, const struct sample *sample, int32_t bits,
                               int32_t metric, uint64_t seed) {
    quash_index_params params = test_index_params(SIFT_DIM, bits, metric);
    params.centre_rows = 1024;
    params.seed = seed;
    quash_index *const index = test_index(context, &params);
    test_add(index, sample->rows, SIFT_ROWS, SIFT_DIM);
    const quash_index_bytes bytes = quash_index_get_bytes(index);
    CHECK_EQ(bytes.per_row, (SIFT_DIM + 31) / 32 * 4 * bits + 8);
    CHECK_EQ(bytes.codes, SIFT_ROWS * bytes.per_row);
    return index;
}

static double index_recall(const quash_index *index, const struct sample *sample) {
    const struct test_result found = test_search(index, sample->queries, SIFT_QUERIES, SIFT_DIM, K);
    const double result = recall(sample->truth[index->params.metric], found.ids);
    test_result_free(&found);
    return result;
}

/* ---- Integer against float scoring ------------------------------------------------------- */

/* Rows of an index, taken apart once. */
struct decoded {
    float *levels; /* [rows][dim], scale * integer */
    float *addends;
};

static struct decoded decode_index(const quash_index *index) {
    struct decoded d;
    d.levels = test_alloc(SIFT_ROWS * SIFT_DIM * sizeof *d.levels);
    d.addends = test_alloc(SIFT_ROWS * sizeof *d.addends);
    for (int64_t r = 0; r < SIFT_ROWS; r++) {
        const struct ref_row row = ref_row_read(index, r);
        for (size_t i = 0; i < SIFT_DIM; i++) {
            d.levels[(size_t)r * SIFT_DIM + i] = row.scale * (float)row.integers[i];
        }
        d.addends[r] = row.addend;
        free(row.integers);
    }
    return d;
}

/* The K best rows by key with the unrounded query, in double. */
static void float_neighbours(const quash_index *index, const struct decoded *d, const float *query,
                             int64_t *ids) {
    float q[SIFT_DIM];
    double best[K];
    size_t size = 0;
    ref_prepare(index->params.metric, query, SIFT_DIM, q);
    const struct ref_query prepared = ref_query_make(index, q);
    for (int64_t r = 0; r < SIFT_ROWS; r++) {
        const double product =
            (double)prepared.power *
            test_dot(prepared.rotated, d->levels + (size_t)r * SIFT_DIM, SIFT_DIM);
        const double key = product + (double)d->addends[r];
        size_t at = size < K ? size++ : K;
        for (; at > 0 && key > best[at - 1]; at--) {
            if (at < K) {
                best[at] = best[at - 1];
                ids[at] = ids[at - 1];
            }
        }
        if (at < K) {
            best[at] = key;
            ids[at] = r;
        }
    }
    free(prepared.rotated);
    free(prepared.digits);
}

static double float_recall(const quash_index *index, const struct sample *sample) {
    const struct decoded d = decode_index(index);
    int64_t *const ids = test_alloc(SIFT_QUERIES * K * sizeof *ids);
    for (size_t j = 0; j < SIFT_QUERIES; j++) {
        float_neighbours(index, &d, sample->queries + j * SIFT_DIM, ids + j * K);
    }
    const double result = recall(sample->truth[index->params.metric], ids);
    free(ids);
    free(d.levels);
    free(d.addends);
    return result;
}

/* ---- The figures ------------------------------------------------------------------------- */

struct figures {
    double cosine; /* mean of all seeds */
    double l2;     /* of the first */
    double ip;
    double loss; /* worst loss of integer scores in the first FLOAT_SEEDS */
};

static struct figures measure(quash_context *context, const struct sample *sample, int32_t bits) {
    struct figures figures = { 0.0, 0.0, 0.0, -1.0 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        quash_index *const index = sift_index(context, sample, bits, QUASH_METRIC_COSINE, seed);
        const double found = index_recall(index, sample);
        figures.cosine += found / SEEDS;
        if (seed <= FLOAT_SEEDS) {
            figures.loss = fmax(figures.loss, float_recall(index, sample) - found);
        }
        quash_index_free(index);
    }
    quash_index *const l2 = sift_index(context, sample, bits, QUASH_METRIC_L2, 1);
    figures.l2 = index_recall(l2, sample);
    quash_index_free(l2);
    quash_index *const ip = sift_index(context, sample, bits, QUASH_METRIC_IP, 1);
    figures.ip = index_recall(ip, sample);
    quash_index_free(ip);
    return figures;
}

TEST(recall_reaches_the_pinned_figures) {
    int32_t workers = 2;
    const quash_runner runner = test_threads(&workers);
    quash_context *const context = test_context(&runner);
    const struct sample sample = sample_read();
    printf("     SIFT, R@10   cosine      L2      ip   bytes/row   lost by integer scores\n");
    for (int32_t bits = 1; bits <= 4; bits++) {
        const struct figures f = measure(context, &sample, bits);
        printf("     %d bits       %.4f  %.4f  %.4f   %9d   %+22.4f\n", (int)bits, f.cosine, f.l2,
               f.ip, (int)(SIFT_DIM / 32 * 4 * bits + 8), f.loss);
        CHECK(f.cosine >= pinned[bits - 1]);
        CHECK_NEAR(f.l2, f.cosine, .01);
        CHECK_NEAR(f.ip, f.cosine, .02); /* lengths vary little: nearly the same neighbours */
        CHECK(f.loss <= .003);
    }
    sample_free(&sample);
    quash_context_free(context);
}

#if defined(__SANITIZE_THREAD__)
#define UNDER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER 1
#endif
#endif

int main(void) {
#ifdef UNDER_THREAD_SANITIZER
    printf("SKIPPED: minutes under ThreadSanitizer, for which unit/test_index.c is meant\n");
    return 77;
#endif
    RUN(recall_reaches_the_pinned_figures);
    return test_report();
}
