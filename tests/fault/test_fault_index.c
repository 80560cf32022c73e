/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the index survives a lack of memory: whichever allocation of create, add and search
 * fails, the call says MEMORY and for what, count, bytes and results stay as they were, and the
 * same call succeeds afterwards as if nothing had happened. Nothing leaks. */
#include "fault/failing_allocator.h"
#include "index_support.h"

#define DIM 20

struct state {
    quash_context *context;
    quash_index_params params;
    quash_index *index;
    quash_index *expected; /* with memory enough; what index was before the add */
    quash_array rows;
    struct test_result result;
};

static float data[18000 * DIM];

static quash_status create(void *state) {
    struct state *const s = state;
    return quash_index_create(&s->index, s->context, &s->params);
}

/* Once an add has failed the index must still be what it was: the next attempt looks first. */
static quash_status add(void *state) {
    struct state *const s = state;
    return quash_index_add(s->index, &s->rows);
}

static quash_status search(void *state) {
    struct state *const s = state;
    memset(s->result.ids, 0x11, 4 * 6 * sizeof *s->result.ids);
    const quash_array queries = test_matrix(data, 4, DIM);
    const quash_status status =
        quash_index_search(s->index, &queries, 6, s->result.scores, s->result.ids);
    for (size_t i = 0; status != QUASH_OK && i < 4 * 6; i++) {
        CHECK_EQ(s->result.ids[i], 0x1111111111111111);
    }
    return status;
}

/* Adds with every single allocation failing once, and compares with an index that had no failure,
 * after each failure and at the end. */
static void check_add(struct failing_allocator *failing, struct state *s, int64_t first,
                      int64_t count, const char *const *names, size_t name_count) {
    s->rows = test_matrix(data + first * DIM, count, DIM);
    for (long n = 1; n <= (long)name_count; n++) {
        const long bytes = atomic_load(&failing->memory.bytes);
        atomic_store(&failing->until_failure, n);
        CHECK_EQ(add(s), QUASH_ERROR_MEMORY);
        atomic_store(&failing->until_failure, 0);
        CHECK_EQ(atomic_load(&failing->memory.bytes), bytes);
        CHECK(test_indexes_agree(s->index, s->expected, true, data, 4, DIM, 6));
    }
    CHECK_EQ(fail_each_allocation(failing, add, s, names, name_count), name_count);
    test_add(s->expected, data + first * DIM, count, DIM);
    CHECK(test_indexes_agree(s->index, s->expected, true, data, 4, DIM, 6));
}

static void check_search(struct failing_allocator *failing, struct state *s) {
    static const char *const names[] = { "the queries", "the scratch of search" };
    s->result = test_result_alloc(4, 6);
    CHECK_EQ(fail_each_allocation(failing, search, s, names, COUNT_OF(names)), COUNT_OF(names));
    const struct test_result right = test_search(s->expected, data, 4, DIM, 6);
    CHECK(test_results_equal(&right, &s->result));
    test_result_free(&right);
    test_result_free(&s->result);
}

static void check_index(const quash_runner *runner, int32_t pool_threads, int32_t metric) {
    static const char *const create_names[] = { "the index" };
    static const char *const raw_names[] = { "the added rows", "the raw rows of the index" };
    static const char *const freeze_names[] = { "the added rows", "the list of blocks",
                                                "an index block", "the scratch of encoding",
                                                "the scratch of encoding" };
    static const char *const coded_names[] = { "the added rows", "the scratch of encoding" };
    static const char *const block_names[] = { "the added rows", "an index block", "an index block",
                                               "the scratch of encoding" };
    struct failing_allocator failing = { 0 };
    const quash_allocator allocator = failing_allocator_get(&failing);
    quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
    context_params.allocator = &allocator;
    context_params.runner = runner;
    context_params.threads = pool_threads;
    struct state s = { 0 };
    quash_context *const other = test_context(NULL);
    CHECK_EQ(quash_context_create(&s.context, &context_params), QUASH_OK);
    s.params = test_index_params(DIM, 3, metric);
    s.params.centre_rows = 100;
    s.expected = test_index(other, &s.params);
    CHECK_EQ(fail_each_allocation(&failing, create, &s, create_names, 1), 1);
    check_search(&failing, &s);
    check_add(&failing, &s, 0, 50, raw_names, 2);
    check_add(&failing, &s, 50, 40, raw_names, 2); /* the raw rows grow */
    check_search(&failing, &s);
    check_add(&failing, &s, 90, 30, freeze_names, 5);
    check_search(&failing, &s);
    check_add(&failing, &s, 120, 30, coded_names, 2);
    check_add(&failing, &s, 150, 2000, block_names, 4);
    const char *names[17] = { "the added rows", "the list of blocks" }; /* 16 blocks fill it */
    for (size_t i = 2; i < 16; i++) {
        names[i] = "an index block";
    }
    names[16] = "the scratch of encoding";
    check_add(&failing, &s, 2150, 15000, names, COUNT_OF(names));
    quash_index_free(s.index);
    quash_context_free(s.context);
    check_no_leak(&failing);
    quash_index_free(s.expected);
    quash_context_free(other);
}

TEST(every_allocation_may_fail) {
    struct test_rng rng = test_rng_start(1);
    test_fill_gaussian(&rng, data, COUNT_OF(data));
    int32_t workers = 3;
    const quash_runner threads = test_threads(&workers);
    check_index(NULL, 1, QUASH_METRIC_IP);
    check_index(NULL, 3, QUASH_METRIC_COSINE);
    check_index(&threads, 0, QUASH_METRIC_L2);
}

int main(void) {
    RUN(every_allocation_may_fail);
    return test_report();
}
