/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that every function of cache.h refuses each kind of bad argument with the right status and
 * a message that names it, and then has changed neither the cache nor an output. */
#include <float.h>

#include "cache_support.h"

enum { HEADS = 2, DIM = 16, TOKENS = 5, QUERY_HEADS = 4, QUERIES = 3 };

static struct {
    quash_context *context;
    quash_cache *cache;
    quash_cache *empty;
    struct test_kv kv;
    struct test_content content;
    float queries[QUERY_HEADS * QUERIES * DIM];
    float out[QUERY_HEADS * QUERIES * DIM];
    float lse[QUERY_HEADS * QUERIES];
    _Alignas(64) unsigned char workspace[1 << 16];
} f;

static void setup(void) {
    const quash_cache_params params = test_cache_params(HEADS, DIM, 4, 3);
    struct test_rng rng = test_rng_start(70);
    f.context = test_context(NULL);
    f.cache = test_cache(f.context, &params);
    f.empty = test_cache(f.context, &params);
    f.kv = test_kv_make(71, HEADS, TOKENS, DIM);
    CHECK_EQ(test_append(f.cache, &f.kv, 0, TOKENS), QUASH_OK);
    f.content = test_content_take(f.cache);
    test_fill_gaussian(&rng, f.queries, COUNT_OF(f.queries));
    memset(f.out, 0xFF, sizeof f.out);
    memset(f.lse, 0xFF, sizeof f.lse);
}

static void teardown(void) {
    free(f.content.bytes);
    test_kv_free(&f.kv);
    quash_cache_free(f.cache);
    quash_cache_free(f.empty);
    quash_context_free(f.context);
}

static bool untouched(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (quash_f32_bits(x[i]) != 0xFFFFFFFFu) {
            return false;
        }
    }
    return true;
}

static bool nothing_changed(void) {
    return test_content_is(f.cache, &f.content) && untouched(f.out, COUNT_OF(f.out)) &&
           untouched(f.lse, COUNT_OF(f.lse));
}

/* ---- Create ------------------------------------------------------------------------------ */

#define CREATE_FAILS(change, message)                                                              \
    do {                                                                                           \
        quash_cache_params params = test_cache_params(HEADS, DIM, 4, 3);                           \
        quash_cache *made = f.cache;                                                               \
        change;                                                                                    \
        CHECK_FAILS(quash_cache_create(&made, f.context, &params), QUASH_ERROR_ARGUMENT, message); \
        CHECK(made == f.cache);                                                                    \
    } while (0)

TEST(create) {
    const quash_cache_params good = test_cache_params(HEADS, DIM, 4, 3);
    const quash_cache_params unset = QUASH_CACHE_PARAMS_INIT;
    quash_cache *cache = NULL;
    CHECK_FAILS(quash_cache_create(NULL, f.context, &good), QUASH_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(quash_cache_create(&cache, NULL, &good), QUASH_ERROR_ARGUMENT, "context is NULL");
    CHECK_FAILS(quash_cache_create(&cache, f.context, NULL), QUASH_ERROR_ARGUMENT,
                "params is NULL");
    CREATE_FAILS(params = unset, "kv_heads is 0, expected 1..65536");
    CREATE_FAILS(params.struct_size = 0, "params: struct_size is 0, expected 32");
    CREATE_FAILS(params.struct_size = 40, "params: struct_size is 40, expected 32");
    CREATE_FAILS(params.kv_heads = 65537, "kv_heads is 65537, expected 1..65536");
    CREATE_FAILS(params.kv_heads = INT32_MIN, "kv_heads is -2147483648, expected 1..65536");
    CREATE_FAILS(params.head_dim = 0, "head_dim is 0, expected 8..576");
    CREATE_FAILS(params.head_dim = 7, "head_dim is 7, expected 8..576");
    CREATE_FAILS(params.head_dim = 584, "head_dim is 584, expected 8..576");
    CREATE_FAILS(params.head_dim = 12, "head_dim is 12, expected a multiple of 8");
    CREATE_FAILS(params.key_bits = 1, "key_bits is 1, expected 2..4");
    CREATE_FAILS(params.key_bits = 5, "key_bits is 5, expected 2..4");
    CREATE_FAILS(params.value_bits = 1, "value_bits is 1, expected 2..4");
    CREATE_FAILS(params.value_bits = 5, "value_bits is 5, expected 2..4");
    CREATE_FAILS(params.search_level = -1, "search_level is -1, expected 0..2");
    CREATE_FAILS(params.search_level = 3, "search_level is 3, expected 0..2");
    CHECK(cache == NULL);
}

/* ---- Append ------------------------------------------------------------------------------ */

struct append_call {
    quash_array keys;
    quash_array values;
    const quash_array *keys_given;
    const quash_array *values_given;
};

static void valid_append(struct append_call *c) {
    c->keys = test_part(&f.kv, f.kv.keys, 0, TOKENS);
    c->values = test_part(&f.kv, f.kv.values, 0, TOKENS);
    c->keys_given = &c->keys;
    c->values_given = &c->values;
}

#define APPEND_FAILS(change, status, message)                                                      \
    do {                                                                                           \
        struct append_call c;                                                                      \
        valid_append(&c);                                                                          \
        change;                                                                                    \
        CHECK_FAILS(quash_cache_append(f.cache, c.keys_given, c.values_given), status, message);   \
        CHECK(nothing_changed());                                                                  \
    } while (0)

#define BAD_APPEND(change, message) APPEND_FAILS(change, QUASH_ERROR_ARGUMENT, message)

TEST(append_keys) {
    BAD_APPEND(c.keys_given = NULL, "keys is NULL");
    BAD_APPEND(c.keys.data = NULL, "keys has a NULL data pointer");
    BAD_APPEND(c.keys.dtype = -1, "keys has dtype -1, which is no quash_dtype");
    BAD_APPEND(c.keys.dtype = 5, "keys has dtype 5, which is no quash_dtype");
    BAD_APPEND(c.keys.dtype = QUASH_I8, "keys has an integer dtype, expected F32, F16 or BF16");
    BAD_APPEND(c.keys.dtype = QUASH_U8, "keys has an integer dtype, expected F32, F16 or BF16");
    BAD_APPEND(c.keys.ndim = 2, "keys has 2 dimensions, expected 3");
    BAD_APPEND(c.keys.ndim = 0, "keys has 0 dimensions, expected 3");
    BAD_APPEND(c.keys.shape[0] = 1, "keys has size 1 in dimension 0, expected 2");
    BAD_APPEND(c.keys.shape[0] = 3, "keys has size 3 in dimension 0, expected 2");
    BAD_APPEND(c.keys.shape[1] = -1, "keys has size -1 in dimension 1");
    BAD_APPEND(c.keys.shape[1] = INT64_MAX / 8, "keys has more elements than memory can hold");
    BAD_APPEND(c.keys.shape[2] = 8, "keys has size 8 in dimension 2, expected 16");
    BAD_APPEND(c.keys.stride[2] = 2, "keys has stride 2 in its last dimension, expected 1");
    BAD_APPEND(c.keys.stride[2] = 0, "keys has stride 0 in its last dimension, expected 1");
    BAD_APPEND(c.keys.stride[0] = INT64_C(1) << 60,
               "keys has stride 1152921504606846976 in dimension 0");
    BAD_APPEND(c.keys.stride[1] = -(INT64_C(1) << 60),
               "keys has stride -1152921504606846976 in dimension 1");
}

TEST(append_values) {
    BAD_APPEND(c.values_given = NULL, "values is NULL");
    BAD_APPEND(c.values.data = NULL, "values has a NULL data pointer");
    BAD_APPEND(c.values.dtype = 99, "values has dtype 99, which is no quash_dtype");
    BAD_APPEND(c.values.dtype = QUASH_I8, "values has an integer dtype, expected F32, F16 or BF16");
    BAD_APPEND(c.values.ndim = 4, "values has 4 dimensions, expected 3");
    BAD_APPEND(c.values.shape[0] = 1, "values has size 1 in dimension 0, expected 2");
    BAD_APPEND(c.values.shape[1] = 4, "values has size 4 in dimension 1, expected 5");
    BAD_APPEND(c.keys.shape[1] = 0, "values has size 5 in dimension 1, expected 0");
    BAD_APPEND(c.values.shape[2] = 24, "values has size 24 in dimension 2, expected 16");
    BAD_APPEND(c.values.stride[2] = -1, "values has stride -1 in its last dimension, expected 1");
}

static void repeat(struct append_call *c, int64_t tokens) {
    c->keys.shape[1] = c->values.shape[1] = tokens;
    c->keys.stride[1] = c->values.stride[1] = 0;
}

TEST(append_too_many) {
    APPEND_FAILS(repeat(&c, INT64_C(2147483580)), QUASH_ERROR_CAPACITY,
                 "2147483580 tokens beyond the 5 held exceed the limit of 2147483584");
    APPEND_FAILS(repeat(&c, INT64_C(1) << 40), QUASH_ERROR_CAPACITY,
                 "1099511627776 tokens beyond the 5 held exceed the limit of 2147483584");
}

/* ---- Attend ------------------------------------------------------------------------------ */

struct attend_call {
    const quash_cache *cache;
    quash_attend_params params;
    quash_array queries;
    quash_array out;
    quash_array lse;
    const quash_attend_params *params_given;
    const quash_array *queries_given;
    const quash_array *out_given;
    const quash_array *lse_given;
    unsigned char *workspace;
    size_t workspace_bytes;
};

static void valid_attend(struct attend_call *c) {
    const quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    c->cache = f.cache;
    c->params = params;
    c->queries = quash_array_view(f.queries, QUASH_F32, 3, QUERY_HEADS, QUERIES, DIM);
    c->out = quash_array_view(f.out, QUASH_F32, 3, QUERY_HEADS, QUERIES, DIM);
    c->lse = quash_array_view(f.lse, QUASH_F32, 2, QUERY_HEADS, QUERIES, 0);
    c->params_given = &c->params;
    c->queries_given = &c->queries;
    c->out_given = &c->out;
    c->lse_given = &c->lse;
    c->workspace = f.workspace;
    c->workspace_bytes = sizeof f.workspace;
}

static quash_status attend(const struct attend_call *c) {
    return quash_cache_attend(c->cache, c->params_given, c->queries_given, c->out_given,
                              c->lse_given, c->workspace, c->workspace_bytes);
}

#define ATTEND_FAILS(change, status, message)                                                      \
    do {                                                                                           \
        struct attend_call c;                                                                      \
        valid_attend(&c);                                                                          \
        change;                                                                                    \
        CHECK_FAILS(attend(&c), status, message);                                                  \
        CHECK(nothing_changed());                                                                  \
    } while (0)

#define BAD_ATTEND(change, message) ATTEND_FAILS(change, QUASH_ERROR_ARGUMENT, message)

static void set_heads(struct attend_call *c, int64_t heads) {
    c->queries.shape[0] = c->out.shape[0] = c->lse.shape[0] = heads;
}

static void set_queries(struct attend_call *c, int64_t queries) {
    c->queries.shape[1] = c->out.shape[1] = c->lse.shape[1] = queries;
    c->queries.stride[1] = 0;         /* the memory is that of QUERIES */
    c->out.stride[0] = DIM * queries; /* beyond it, but nothing is written */
    c->lse.stride[0] = queries;
}

TEST(attend_params) {
    BAD_ATTEND(c.params_given = NULL, "params: struct_size is 0, expected 16");
    BAD_ATTEND(c.params.struct_size = 0, "params: struct_size is 0, expected 16");
    BAD_ATTEND(c.params.struct_size = 12, "params: struct_size is 12, expected 16");
    BAD_ATTEND(c.params.mode = -1, "mode is -1, expected 0..2");
    BAD_ATTEND(c.params.mode = 3, "mode is 3, expected 0..2");
    BAD_ATTEND(c.params.scale = -0.5f, "scale is -0.5, expected 0 (default) or more");
    BAD_ATTEND(c.params.scale = NAN, "scale is nan, expected 0 (default) or more");
    BAD_ATTEND(c.params.scale = INFINITY, "scale is inf, expected 0 (default) or more");
    BAD_ATTEND(c.params.scale = -INFINITY, "scale is -inf, expected 0 (default) or more");
}

TEST(attend_queries) {
    BAD_ATTEND(c.queries_given = NULL, "queries is NULL");
    BAD_ATTEND(c.queries.data = NULL, "queries has a NULL data pointer");
    BAD_ATTEND(c.queries.dtype = 7, "queries has dtype 7, which is no quash_dtype");
    BAD_ATTEND(c.queries.dtype = QUASH_U8,
               "queries has an integer dtype, expected F32, F16 or BF16");
    BAD_ATTEND(c.queries.ndim = 4, "queries has 4 dimensions, expected 3");
    BAD_ATTEND(c.queries.shape[1] = -3, "queries has size -3 in dimension 1");
    BAD_ATTEND(c.queries.shape[2] = 8, "queries has size 8 in dimension 2, expected 16");
    BAD_ATTEND(c.queries.stride[2] = 3, "queries has stride 3 in its last dimension, expected 1");
    BAD_ATTEND(set_heads(&c, 0), "queries has 0 heads, expected 1..16 times the 2 KV heads");
    BAD_ATTEND(set_heads(&c, 1), "queries has 1 heads, expected 1..16 times the 2 KV heads");
    BAD_ATTEND(set_heads(&c, 3), "queries has 3 heads, expected 1..16 times the 2 KV heads");
    BAD_ATTEND(set_heads(&c, 34), "queries has 34 heads, expected 1..16 times the 2 KV heads");
    BAD_ATTEND(set_queries(&c, 6), "queries has q_len 6, the cache 5 tokens: query 0 sees none");
    BAD_ATTEND(c.cache = f.empty, "queries has q_len 3, the cache 0 tokens: query 0 sees none");
    BAD_ATTEND((c.cache = f.empty, c.params.causal = 0),
               "queries has q_len 3, the cache 0 tokens: query 0 sees none");
}

TEST(attend_values_of_queries) {
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        float *const last = &f.queries[COUNT_OF(f.queries) - 1];
        const float kept = *last;
        *last = bad[i];
        BAD_ATTEND((void)0, "queries: NaN or infinity in head 3, position 2, column 15");
        *last = kept;
    }
}

TEST(attend_out) {
    BAD_ATTEND(c.out_given = NULL, "out is NULL");
    BAD_ATTEND(c.out.data = NULL, "out has a NULL data pointer");
    BAD_ATTEND(c.out.dtype = QUASH_I8, "out has an integer dtype, expected F32, F16 or BF16");
    BAD_ATTEND(c.out.ndim = 2, "out has 2 dimensions, expected 3");
    BAD_ATTEND(c.out.shape[0] = 2, "out has size 2 in dimension 0, expected 4");
    BAD_ATTEND(c.out.shape[1] = 4, "out has size 4 in dimension 1, expected 3");
    BAD_ATTEND(c.out.shape[2] = 24, "out has size 24 in dimension 2, expected 16");
    BAD_ATTEND(c.out.stride[2] = 2, "out has stride 2 in its last dimension, expected 1");
    BAD_ATTEND(c.out.stride[0] = 0, "out has strides by which its elements overlap");
    BAD_ATTEND(c.out.stride[1] = 15, "out has strides by which its elements overlap");
    BAD_ATTEND(c.out.stride[0] = -32, "out has strides by which its elements overlap");
}

TEST(attend_lse) {
    BAD_ATTEND(c.lse.data = NULL, "lse has a NULL data pointer");
    BAD_ATTEND(c.lse.dtype = QUASH_F16, "lse has dtype 1, expected F32");
    BAD_ATTEND(c.lse.dtype = QUASH_BF16, "lse has dtype 2, expected F32");
    BAD_ATTEND(c.lse.dtype = QUASH_U8, "lse has an integer dtype, expected F32, F16 or BF16");
    BAD_ATTEND(c.lse.ndim = 3, "lse has 3 dimensions, expected 2");
    BAD_ATTEND(c.lse.shape[0] = 3, "lse has size 3 in dimension 0, expected 4");
    BAD_ATTEND(c.lse.shape[1] = 1, "lse has size 1 in dimension 1, expected 3");
    BAD_ATTEND(c.lse.stride[1] = 4, "lse has stride 4 in its last dimension, expected 1");
    BAD_ATTEND(c.lse.stride[0] = 2, "lse has strides by which its elements overlap");
}

TEST(attend_workspace) {
    char message[96];
    const size_t needed = quash_cache_attend_workspace(f.cache);
    BAD_ATTEND(c.workspace += 32, "workspace is not aligned to 64 bytes");
    BAD_ATTEND(c.workspace += 1, "workspace is not aligned to 64 bytes");
    (void)snprintf(message, sizeof message, "workspace_bytes is %zu, expected %zu", needed - 1,
                   needed);
    ATTEND_FAILS(c.workspace_bytes = needed - 1, QUASH_ERROR_CAPACITY, message);
    (void)snprintf(message, sizeof message, "workspace_bytes is 0, expected %zu", needed);
    ATTEND_FAILS(c.workspace_bytes = 0, QUASH_ERROR_CAPACITY, message);
}

/* ---- Decode ------------------------------------------------------------------------------ */

static quash_array out_view(int64_t tokens) {
    return quash_array_view(f.out, QUASH_F32, 3, HEADS, tokens, DIM);
}

#define DECODE_FAILS(first, tokens, change, message)                                               \
    do {                                                                                           \
        quash_array view = out_view(tokens);                                                       \
        change;                                                                                    \
        CHECK_FAILS(quash_cache_decode(f.cache, first, &view, NULL), QUASH_ERROR_ARGUMENT,         \
                    "keys" message);                                                               \
        CHECK_FAILS(quash_cache_decode(f.cache, first, NULL, &view), QUASH_ERROR_ARGUMENT,         \
                    "values" message);                                                             \
        CHECK(nothing_changed());                                                                  \
    } while (0)

TEST(decode_arrays) {
    DECODE_FAILS(0, 2, view.data = NULL, " has a NULL data pointer");
    DECODE_FAILS(0, 2, view.dtype = QUASH_I8, " has an integer dtype, expected F32, F16 or BF16");
    DECODE_FAILS(0, 2, view.dtype = 6, " has dtype 6, which is no quash_dtype");
    DECODE_FAILS(0, 2, view.ndim = 2, " has 2 dimensions, expected 3");
    DECODE_FAILS(0, 2, view.shape[0] = 1, " has size 1 in dimension 0, expected 2");
    DECODE_FAILS(0, 2, view.shape[1] = -2, " has size -2 in dimension 1");
    DECODE_FAILS(0, 2, view.shape[2] = 17, " has size 17 in dimension 2, expected 16");
    DECODE_FAILS(0, 2, view.stride[2] = 2, " has stride 2 in its last dimension, expected 1");
    DECODE_FAILS(0, 2, view.stride[1] = 0, " has strides by which its elements overlap");
}

static void range_fails(int64_t first, int64_t tokens) {
    char message[128];
    const quash_array view = out_view(tokens);
    const quash_array good = out_view(0);
    for (int values = 0; values <= 1; values++) { /* a good array beside it is not written */
        (void)snprintf(message, sizeof message,
                       "first is %lld and %s has %lld tokens, the cache holds 5", (long long)first,
                       values ? "values" : "keys", (long long)tokens);
        CHECK_FAILS(quash_cache_decode(f.cache, first, values ? NULL : &view,
                                       values ? &view : (first == 0 ? &good : NULL)),
                    QUASH_ERROR_ARGUMENT, message);
    }
    CHECK(nothing_changed());
}

TEST(decode_ranges) {
    range_fails(-1, 1);
    range_fails(-1, 0);
    range_fails(0, 6);
    range_fails(1, 5);
    range_fails(5, 1);
    range_fails(6, 0);
    range_fails(INT64_MAX, 1);
    range_fails(INT64_MIN, 1);
}

/* ---- Scores beyond binary32 -------------------------------------------------------------- */

/* Last: out is unspecified afterwards. The first failing row is named; the cache stays. */
static void check_overflow(int32_t mode) {
    struct attend_call c;
    valid_attend(&c);
    c.params.mode = mode;
    for (size_t row = 7; row <= 9; row++) { /* head 2, positions 1 and 2, and head 3 */
        for (size_t i = 0; i < DIM; i++) {
            f.queries[row * DIM + i] = i % 2 ? FLT_MAX : -FLT_MAX;
        }
    }
    CHECK_FAILS(attend(&c), QUASH_ERROR_ARGUMENT,
                "queries: a score of head 2, position 1 exceeds binary32");
    valid_attend(&c);
    c.params.mode = mode;
    memcpy(f.queries, f.kv.keys, DIM * sizeof(float)); /* scores far above 1 */
    c.params.scale = FLT_MAX;
    c.queries.shape[0] = c.out.shape[0] = c.lse.shape[0] = 2;
    CHECK_FAILS(attend(&c), QUASH_ERROR_ARGUMENT,
                "queries: a score of head 0, position 0 exceeds binary32");
    CHECK(test_content_is(f.cache, &f.content));
}

TEST(scores_beyond_binary32) {
    check_overflow(QUASH_ATTEND_FLOAT);
    check_overflow(QUASH_ATTEND_EXACT);
    check_overflow(QUASH_ATTEND_FAST);
}

int main(void) {
    setup();
    RUN(create);
    RUN(append_keys);
    RUN(append_values);
    RUN(append_too_many);
    RUN(attend_params);
    RUN(attend_queries);
    RUN(attend_values_of_queries);
    RUN(attend_out);
    RUN(attend_lse);
    RUN(attend_workspace);
    RUN(decode_arrays);
    RUN(decode_ranges);
    RUN(scores_beyond_binary32);
    teardown();
    return test_report();
}
