/* SPDX-License-Identifier: Apache-2.0 */
/* cache_attention.c: a key/value cache at 3 bits: 500 tokens appended, one query of 8 heads over 2
 * KV heads. Build: cc cache_attention.c $(pkg-config --cflags --libs quash) -lm */
#include <quash/quash.h>

#include <math.h>
#include <stdio.h>

enum { KV_HEADS = 2, QUERY_HEADS = 8, TOKENS = 500, DIM = 64 };

static float keys[KV_HEADS][TOKENS][DIM];
static float values[KV_HEADS][TOKENS][DIM];
static float queries[QUERY_HEADS][1][DIM];
static float out[QUERY_HEADS][1][DIM];

static int check(quash_status status) {
    if (status != QUASH_OK) {
        fprintf(stderr, "%s: %s\n", quash_status_string(status), quash_last_message());
    }
    return status != QUASH_OK;
}

/* Smooth functions of the token stand in for a model. */
static void fill(void) {
    for (int h = 0; h < KV_HEADS; h++) {
        for (int t = 0; t < TOKENS; t++) {
            for (int i = 0; i < DIM; i++) {
                keys[h][t][i] = cosf(0.01f * (float)((t + 1) * (i + 1 + h)));
                values[h][t][i] = sinf(0.02f * (float)((t + 3) * (i + 2)));
            }
        }
    }
    for (int h = 0; h < QUERY_HEADS; h++) {
        for (int i = 0; i < DIM; i++) {
            queries[h][0][i] = cosf(0.3f * (float)((h + 1) * (i + 1)));
        }
    }
}

static int attend(quash_cache *cache) {
    const quash_array k = quash_array_view(keys, QUASH_F32, 3, KV_HEADS, TOKENS, DIM);
    const quash_array v = quash_array_view(values, QUASH_F32, 3, KV_HEADS, TOKENS, DIM);
    const quash_array q = quash_array_view(queries, QUASH_F32, 3, QUERY_HEADS, 1, DIM);
    const quash_array o = quash_array_view(out, QUASH_F32, 3, QUERY_HEADS, 1, DIM);
    const quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    if (check(quash_cache_append(cache, &k, &v)) ||
        check(quash_cache_attend(cache, &params, &q, &o, NULL, NULL, 0))) {
        return 1;
    }
    printf("head 0: %.4f %.4f %.4f ...\n", (double)out[0][0][0], (double)out[0][0][1],
           (double)out[0][0][2]);
    printf("%lld bytes held, %zu as binary16\n", (long long)quash_cache_get_bytes(cache).total,
           2 * sizeof keys / 2);
    return 0;
}

int main(void) {
    quash_context *context = NULL;
    quash_cache *cache = NULL;
    quash_cache_params params = QUASH_CACHE_PARAMS_INIT;
    params.kv_heads = KV_HEADS;
    params.head_dim = DIM;
    params.key_bits = 3;
    params.value_bits = 3;
    fill();
    const int failed = check(quash_context_create(&context, NULL)) ||
                       check(quash_cache_create(&cache, context, &params)) || attend(cache);
    quash_cache_free(cache);
    quash_context_free(context);
    return failed;
}
