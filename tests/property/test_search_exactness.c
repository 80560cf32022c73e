/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the search of an index is what it is defined to be, bit for bit: scores of coded rows
 * equal those of a second implementation that reads the same blocks, rows are coded as the codec
 * codes row minus centre, and neither the split of the adds, nor the number of workers, nor the
 * batch a query comes in changes a bit. Before the centre is known scores are exact. */
#include "index_reference.h"

static float *gaussian_rows(uint64_t seed, size_t count, size_t dim) {
    struct test_rng rng = test_rng_start(seed);
    float *const rows = test_alloc(count * dim * sizeof *rows);
    test_fill_gaussian(&rng, rows, count * dim);
    return rows;
}

/* ---- Against the definition -------------------------------------------------------------- */

/* The blocks hold what an unbiased codec makes of row - centre, padded with code 0, and the addend
 * is exact. */
static void check_blocks(quash_context *context, const quash_index *index, const float *rows) {
    struct quash_kernels kernels;
    quash_kernels_fill(&kernels, QUASH_CPU_C);
    const size_t dim = (size_t)index->params.dim;
    const size_t dims = (dim + 31) / 32 * 32;
    const size_t row_codes = dims / 8 * (size_t)index->params.bits;
    quash_codec_params params = test_params(dim, index->params.bits);
    params.scale_policy = QUASH_SCALE_UNBIASED;
    params.search_level = index->params.search_level;
    params.seed = index->params.seed;
    quash_codec *const codec = test_codec(context, &params);
    const size_t row_bytes = quash_codec_row_bytes(codec);
    uint8_t *const coded = test_alloc(row_bytes);
    uint8_t *const codes = test_alloc(dims);
    uint8_t *const packed = test_alloc(row_codes);
    float *const x = test_alloc(dim * sizeof *x);
    int8_t levels[16];
    float step;
    (void)quash_codebook_levels(params.bits, levels, &step);
    int wrong = 0;
    for (int64_t r = 0; r < index->count; r++) {
        double addend = 0.0;
        ref_prepare(index->params.metric, rows + (size_t)r * dim, dim, x);
        for (size_t i = 0; i < dim; i++) {
            x[i] = ref_minus(x[i], index->centre[i]);
            addend += (double)x[i] *
                      (double)(index->params.metric == QUASH_METRIC_L2 ? x[i] : index->centre[i]);
        }
        const quash_array one = test_matrix(x, 1, dim);
        CHECK_EQ(quash_encode(codec, &one, coded, row_bytes), QUASH_OK);
        float scale;
        memcpy(&scale, coded, sizeof scale);
        kernels.unpack[params.bits - 1](coded + 4, dim, codes);
        memset(codes + dim, 0, dims - dim);
        kernels.pack[params.bits - 1](codes, dims, packed);
        wrong += memcmp(packed, index->blocks[r / 1024] + (size_t)(r % 1024) * row_codes,
                        row_codes) != 0;
        const struct ref_row row = ref_row_read(index, r);
        wrong += row.scale != ref_times(scale, step) || row.addend != (float)addend;
        for (size_t i = 0; i < dim; i++) {
            wrong += row.integers[i] != levels[codes[i]];
        }
        free(row.integers);
    }
    CHECK_EQ(wrong, 0);
    free(coded);
    free(codes);
    free(packed);
    free(x);
    quash_codec_free(codec);
}

static void check_definition(quash_context *context, size_t dim, int64_t count, int32_t bits,
                             int32_t metric) {
    const int64_t query_count = 3;
    quash_index_params params = test_index_params(dim, bits, metric);
    params.centre_rows = (int32_t)(count / 2);
    params.search_level = (int32_t)dim % 3;
    params.seed = dim * 10 + (uint64_t)bits;
    quash_index *const index = test_index(context, &params);
    float *const rows = gaussian_rows(dim, (size_t)count, dim);
    float *const queries = gaussian_rows(dim + 1, (size_t)query_count, dim);
    test_add(index, rows, count, dim);
    const struct test_result found = test_search(index, queries, query_count, dim, count);
    const struct test_result expected = ref_search(index, queries, query_count);
    if (!CHECK(test_results_equal(&found, &expected))) {
        printf("    dim %zu, %d bits, metric %d\n", dim, (int)bits, (int)metric);
    }
    check_blocks(context, index, rows);
    const struct test_result few = test_search(index, queries, query_count, dim, 5);
    for (int64_t j = 0; j < query_count; j++) {
        const int64_t best = count < 5 ? count : 5;
        CHECK(memcmp(few.ids + j * 5, expected.ids + j * count, (size_t)best * 8) == 0);
        CHECK(memcmp(few.scores + j * 5, expected.scores + j * count, (size_t)best * 4) == 0);
    }
    test_result_free(&found);
    test_result_free(&expected);
    test_result_free(&few);
    free(rows);
    free(queries);
    quash_index_free(index);
}

TEST(scores_are_as_defined) {
    static const size_t dims[] = { 1, 2, 3, 31, 32, 33, 100, 128, 1000, 1536 };
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        for (int32_t bits = 1; bits <= 4; bits++) {
            for (int32_t metric = 0; metric < 3; metric++) {
                check_definition(context, dims[i], dims[i] < 1000 ? 70 : 10, bits, metric);
            }
        }
    }
    check_definition(context, QUASH_DIM_MAX, 4, 3, QUASH_METRIC_L2);
    check_definition(context, QUASH_DIM_MAX, 4, 4, QUASH_METRIC_COSINE);
    check_definition(context, 20, 2100, 3, QUASH_METRIC_L2); /* three blocks */
    check_definition(context, 7, 1024, 2, QUASH_METRIC_IP);  /* one, full */
    quash_context_free(context);
}

/* The mean of the first centre_rows rows, in double and in order. */
TEST(centre_is_the_mean_of_the_first_rows) {
    quash_context *const context = test_context(NULL);
    const size_t dim = 19;
    quash_index_params params = test_index_params(dim, 4, QUASH_METRIC_L2);
    params.centre_rows = 50;
    quash_index *const index = test_index(context, &params);
    float *const rows = gaussian_rows(6, 90, dim);
    test_add(index, rows, 20, dim);
    test_add(index, rows + 20 * dim, 70, dim);
    for (size_t i = 0; i < dim; i++) {
        double sum = 0.0;
        for (size_t r = 0; r < 50; r++) {
            sum += (double)rows[r * dim + i];
        }
        CHECK(index->centre[i] == (float)(sum / 50.0));
    }
    free(rows);
    quash_index_free(index);
    quash_context_free(context);
}

TEST(raw_rows_are_searched_exactly) {
    quash_context *const context = test_context(NULL);
    const size_t dim = 37;
    const int64_t count = 99;
    for (int32_t metric = 0; metric < 3; metric++) {
        quash_index_params params = test_index_params(dim, 1, metric);
        params.centre_rows = 100;
        quash_index *const index = test_index(context, &params);
        float *const rows = gaussian_rows(7, (size_t)count, dim);
        float *const query = gaussian_rows(8, 1, dim);
        float *const prepared = test_alloc(2 * dim * sizeof *prepared);
        test_add(index, rows, count, dim);
        const struct test_result found = test_search(index, query, 1, dim, count);
        ref_prepare(metric, query, dim, prepared);
        for (int64_t i = 0; i < count; i++) {
            const float *const row = rows + (size_t)found.ids[i] * dim;
            ref_prepare(metric, row, dim, prepared + dim);
            CHECK(found.scores[i] == (float)ref_true_score(metric, prepared, prepared + dim, dim));
            CHECK(i == 0 || test_ranks_before(metric, (double)found.scores[i - 1], found.ids[i - 1],
                                              (double)found.scores[i], found.ids[i]));
        }
        test_result_free(&found);
        free(rows);
        free(query);
        free(prepared);
        quash_index_free(index);
    }
    quash_context_free(context);
}

/* ---- Invariance -------------------------------------------------------------------------- */

/* Adds rows in pieces: sizes in turn, the last one repeated; 0 at the end stands for random. */
static quash_index *index_of_pieces(quash_context *context, const quash_index_params *params,
                                    const float *rows, int64_t count, const int64_t *sizes) {
    const size_t dim = (size_t)params->dim;
    struct test_rng rng = test_rng_start((uint64_t)count);
    quash_index *const index = test_index(context, params);
    for (int64_t first = 0; first < count;) {
        int64_t size = *sizes > 0 ? *sizes : 1 + (int64_t)test_below(&rng, 40);
        sizes += *sizes > 0 && sizes[1] >= 0;
        size = size < count - first ? size : count - first;
        test_add(index, rows + (size_t)first * dim, size, dim);
        first += size;
    }
    return index;
}

static void check_splits(quash_context *context, const quash_index_params *params, int64_t count,
                         const int64_t (*splits)[4], size_t split_count) {
    const size_t dim = (size_t)params->dim;
    float *const rows = gaussian_rows(9, (size_t)count, dim);
    float *const queries = gaussian_rows(10, 4, dim);
    quash_index *const whole = test_index(context, params);
    test_add(whole, rows, count, dim);
    for (size_t i = 0; i < split_count; i++) {
        quash_index *const index = index_of_pieces(context, params, rows, count, splits[i]);
        CHECK_EQ(quash_index_count(index), count);
        CHECK(test_indexes_agree(index, whole, true, queries, 4, dim, count));
        quash_index_free(index);
    }
    quash_index_free(whole);
    free(rows);
    free(queries);
}

TEST(splits_do_not_matter) {
    /* Around the freeze at 100 rows, and around the end of a block at 1,024 rows. */
    static const int64_t small[][4] = {
        { 1, -1 },         { 0, -1 },         { 99, 1, 200, -1 }, { 99, 2, 199, -1 },
        { 100, 1, 1, -1 }, { 100, 200, -1 },  { 101, 199, -1 },   { 98, 1, 201, -1 },
        { 64, 65, -1 },    { 50, 50, 1, -1 }, { 1, 299, -1 },     { 299, 1, -1 },
    };
    static const int64_t large[][4] = { { 1023, 1, 1, -1 }, { 1024, 1024, -1 }, { 700, -1 } };
    quash_context *const context = test_context(NULL);
    for (int32_t metric = 0; metric < 3; metric++) {
        quash_index_params params = test_index_params(33, 1 + metric, metric);
        params.centre_rows = 100;
        check_splits(context, &params, 300, small, COUNT_OF(small));
    }
    quash_index_params params = test_index_params(5, 4, QUASH_METRIC_L2);
    check_splits(context, &params, 2060, large, COUNT_OF(large));
    params.centre_rows = 1;
    check_splits(context, &params, 100, small, COUNT_OF(small));
    const float centre[5] = { 1.0f, -2.0f, 0.5f, 0.0f, 3.0f };
    params.centre = centre;
    check_splits(context, &params, 100, small, COUNT_OF(small));
    quash_context_free(context);
}

TEST(workers_and_batches_do_not_matter) {
    static const int32_t worker_counts[] = { 1, 2, 3, 8 };
    const size_t dim = 40;
    const int64_t count = 500;
    const int64_t query_count = 21;
    float *const rows = gaussian_rows(11, (size_t)count, dim);
    float *const queries = gaussian_rows(12, (size_t)query_count, dim);
    quash_context *const context = test_context(NULL);
    for (int32_t metric = 0; metric < 3; metric++) {
        quash_index_params params = test_index_params(dim, 4 - metric, metric);
        params.centre_rows = 333;
        for (int64_t held = 200; held <= count; held += 300) { /* raw, coded */
            quash_index *const serial = test_index(context, &params);
            test_add(serial, rows, held, dim);
            const struct test_result batch = test_search(serial, queries, query_count, dim, 9);
            for (int64_t j = 0; j < query_count; j++) {
                const struct test_result one =
                    test_search(serial, queries + (size_t)j * dim, 1, dim, 9);
                const struct test_result part = { 1, 9, batch.scores + j * 9, batch.ids + j * 9 };
                CHECK(test_results_equal(&one, &part));
                test_result_free(&one);
            }
            for (size_t w = 0; w < COUNT_OF(worker_counts); w++) {
                int32_t workers = worker_counts[w];
                const quash_runner runner = test_threads(&workers);
                quash_context *const contexts[] = { test_context(&runner),
                                                    test_pool_context(workers) };
                for (size_t c = 0; c < COUNT_OF(contexts); c++) {
                    quash_index *const index = test_index(contexts[c], &params);
                    test_add(index, rows, 10, dim);
                    test_add(index, rows + 10 * dim, held - 10, dim);
                    CHECK(test_indexes_agree(index, serial, true, queries, query_count, dim, 9));
                    quash_index_free(index);
                    quash_context_free(contexts[c]);
                }
            }
            test_result_free(&batch);
            quash_index_free(serial);
        }
    }
    quash_context_free(context);
    free(rows);
    free(queries);
}

int main(void) {
    RUN(scores_are_as_defined);
    RUN(centre_is_the_mean_of_the_first_rows);
    RUN(raw_rows_are_searched_exactly);
    RUN(splits_do_not_matter);
    RUN(workers_and_batches_do_not_matter);
    return test_report();
}
