/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_cache_api.c: bytes as a sequence of calls on a small cache: create, append, attend, decode,
 * reset, with good and bad arguments. Each call succeeds or is refused as its arguments deserve,
 * results are finite, sizes follow, and a cache that took the same tokens one by one equals. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <quash/cache.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    HEADS_MAX = 3,
    DIM_MAX = 48,
    COUNT_MAX = 70,                   /* tokens of one call */
    TOKENS_MAX = 400,                 /* of the cache */
    QUERY_HEADS_MAX = HEADS_MAX * 17, /* 17 is one too many */
    CALLS_MAX = 40
};

struct bytes {
    const uint8_t *data;
    size_t size;
};

struct fuzz {
    struct bytes in;
    quash_context *context;
    quash_cache_params params;
    quash_cache *cache;
    quash_cache *mirror; /* the same tokens, one by one */
    int64_t tokens;
};

static float keys[HEADS_MAX * COUNT_MAX * DIM_MAX];
static float values[HEADS_MAX * COUNT_MAX * DIM_MAX];
static float queries[QUERY_HEADS_MAX * 5 * DIM_MAX];
static float out[QUERY_HEADS_MAX * 5 * DIM_MAX];
static float lse[QUERY_HEADS_MAX * 5];

static void require(int condition) {
    if (!condition) {
        abort();
    }
}

static uint32_t take(struct bytes *in) {
    if (in->size == 0) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

/* Any bits at all. */
static float take_float(struct bytes *in) {
    uint32_t bits = take(in);
    for (int i = 0; i < 3; i++) {
        bits = bits << 8 | take(in);
    }
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Small whole numbers that vary, times a factor; sometimes one of any bits among them. */
static void fill(struct bytes *in, float *x, int64_t n) {
    static const float factors[] = { 1.0f, 0x1p-24f, 0x1p-120f, 400.0f };
    const uint32_t start = take(in);
    const uint32_t how = take(in);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t mixed = ((uint32_t)i * 2654435761u) ^ (start * 40503u << (how & 7u));
        x[i] = ((float)(mixed >> 16 & 255u) - 127.0f) * factors[how >> 3 & 3u];
    }
    if ((how & 64u) != 0 && n > 0) {
        x[start % (uint32_t)n] = take_float(in);
    }
}

static int all_finite(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return 0;
        }
    }
    return 1;
}

static quash_array view(float *rows, int64_t heads, int64_t n, const struct fuzz *f) {
    return quash_array_view(rows, QUASH_F32, 3, heads, n, f->params.head_dim);
}

/* A refusal has a reason. */
static void check_refusal(quash_status status) {
    require(status == QUASH_ERROR_ARGUMENT && quash_last_message()[0] != '\0');
}

static int create(struct fuzz *f) {
    const quash_cache_params defaults = QUASH_CACHE_PARAMS_INIT;
    quash_cache_params *const p = &f->params;
    *p = defaults;
    p->kv_heads = (int32_t)(take(&f->in) % (HEADS_MAX + 1));
    p->head_dim = (int32_t)(take(&f->in) % (DIM_MAX / 4 + 1)) * 4; /* half of them refused */
    p->key_bits = (int32_t)(take(&f->in) % 6);
    p->value_bits = (int32_t)(take(&f->in) % 6);
    p->search_level = (int32_t)(take(&f->in) % 4);
    p->seed = take(&f->in);
    const int good = p->kv_heads >= 1 && p->head_dim >= 8 && p->head_dim % 8 == 0 &&
                     p->key_bits >= 2 && p->key_bits <= 4 && p->value_bits >= 2 &&
                     p->value_bits <= 4 && p->search_level <= 2;
    const quash_status status = quash_cache_create(&f->cache, f->context, p);
    if (!good) {
        check_refusal(status);
        return 0;
    }
    require(status == QUASH_OK);
    require(quash_cache_create(&f->mirror, f->context, p) == QUASH_OK);
    return 1;
}

static void append(struct fuzz *f) {
    const int64_t heads = f->params.kv_heads;
    const int64_t n = take(&f->in) % (COUNT_MAX + 1);
    const int64_t size = heads * n * f->params.head_dim;
    fill(&f->in, keys, size);
    fill(&f->in, values, size);
    if (f->tokens + n > TOKENS_MAX) {
        return;
    }
    quash_array k = view(keys, heads, n, f);
    quash_array v = view(values, heads, n, f);
    const quash_status status = quash_cache_append(f->cache, &k, &v);
    if (!all_finite(keys, size) || !all_finite(values, size)) {
        check_refusal(status);
    } else if (status != QUASH_OK) {
        check_refusal(status); /* a scale beyond binary16 */
        require(strstr(quash_last_message(), "binary16") != NULL);
    } else {
        f->tokens += n;
        k.shape[1] = v.shape[1] = 1;
        for (int64_t t = 0; t < n; t++) {
            k.data = keys + t * f->params.head_dim;
            v.data = values + t * f->params.head_dim;
            require(quash_cache_append(f->mirror, &k, &v) == QUASH_OK);
        }
    }
    require(quash_cache_tokens(f->cache) == f->tokens);
}

static void attend(struct fuzz *f) {
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    const int64_t heads = f->params.kv_heads;
    const int64_t group = take(&f->in) % 18;
    const int64_t q_len = take(&f->in) % 6;
    const uint32_t how = take(&f->in);
    const int64_t size = heads * group * q_len * f->params.head_dim;
    params.causal = (int32_t)(how & 1u);
    params.mode = (int32_t)(how >> 4 & 3u);
    params.scale = (how & 2u) != 0 ? take_float(&f->in) : 0.0f;
    fill(&f->in, queries, size);
    const quash_array q = view(queries, heads * group, q_len, f);
    const quash_array o = view(out, heads * group, q_len, f);
    const quash_array l = quash_array_view(lse, QUASH_F32, 2, heads * group, q_len, 0);
    const size_t bytes = (how & 4u) != 0 ? quash_cache_attend_workspace(f->cache) : 0;
    void *const workspace = bytes > 0 ? aligned_alloc(64, bytes) : NULL;
    const quash_status status = quash_cache_attend(f->cache, &params, &q, &o,
                                                   (how & 8u) != 0 ? &l : NULL, workspace, bytes);
    free(workspace);
    if (group < 1 || group > QUASH_GROUP_MAX) {
        check_refusal(status);
    } else if (q_len == 0) {
        require(status == QUASH_OK);
    } else if (f->tokens == 0 || (params.causal && q_len > f->tokens) || !isfinite(params.scale) ||
               params.scale < 0.0f || params.mode > QUASH_ATTEND_FLOAT ||
               !all_finite(queries, size)) {
        check_refusal(status);
    } else if (status != QUASH_OK) {
        check_refusal(status); /* a score beyond binary32 */
        require(strstr(quash_last_message(), "binary32") != NULL);
    } else {
        require(all_finite(out, size));
        require((how & 8u) == 0 || all_finite(lse, heads * group * q_len));
    }
}

static void decode(struct fuzz *f) {
    const int64_t heads = f->params.kv_heads;
    const int64_t first = (int64_t)take(&f->in) * 2 - 20;
    const int64_t n = take(&f->in) % (COUNT_MAX + 1);
    const int64_t size = heads * n * f->params.head_dim;
    const quash_array k = view(keys, heads, n, f);
    const quash_array v = view(values, heads, n, f);
    const quash_status status = quash_cache_decode(f->cache, first, &k, &v);
    if (first < 0 || first + n > f->tokens) {
        check_refusal(status);
        return;
    }
    require(status == QUASH_OK);
    require(all_finite(keys, size) && all_finite(values, size));
    const quash_array same_k = view(queries, heads, n, f);
    const quash_array same_v = view(out, heads, n, f);
    require(quash_cache_decode(f->mirror, first, &same_k, &same_v) == QUASH_OK);
    require(memcmp(keys, queries, (size_t)size * sizeof *keys) == 0);
    require(memcmp(values, out, (size_t)size * sizeof *values) == 0);
}

static void check_bytes(const struct fuzz *f) {
    const quash_cache_bytes bytes = quash_cache_get_bytes(f->cache);
    const quash_cache_bytes mirror = quash_cache_get_bytes(f->mirror);
    const quash_cache_params *const p = &f->params;
    const int64_t slots = (f->tokens + 63) / 64 * 64 * p->kv_heads;
    require(bytes.key_codes == slots * ((p->head_dim + 31) / 32 * 32 * p->key_bits / 8));
    require(bytes.value_codes == slots * ((p->head_dim + 15) / 16 * 16 * p->value_bits / 8));
    require(bytes.scales == slots * 4);
    require(bytes.total == bytes.key_codes + bytes.value_codes + bytes.scales + bytes.tables);
    require(mirror.total - mirror.tables == bytes.total - bytes.tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz f;
    memset(&f, 0, sizeof f);
    f.in = (struct bytes){ data, size };
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.threads = 1; /* a thread per input would cost more than the input */
    require(quash_context_create(&f.context, &params) == QUASH_OK);
    if (create(&f)) {
        for (int call = 0; call < CALLS_MAX && f.in.size > 0; call++) {
            switch (take(&f.in) % 8) {
            case 0:
            case 1:
            case 2: append(&f); break;
            case 3:
            case 4: attend(&f); break;
            case 5:
            case 6: decode(&f); break;
            default:
                quash_cache_reset(f.cache);
                quash_cache_reset(f.mirror);
                f.tokens = 0;
                break;
            }
            check_bytes(&f);
        }
    }
    quash_cache_free(f.cache);
    quash_cache_free(f.mirror);
    quash_context_free(f.context);
    return 0;
}
