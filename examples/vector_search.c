/* SPDX-License-Identifier: Apache-2.0 */
/* vector_search.c: compress 10,000 vectors to 4 bits per coordinate and find the nearest of each of
 * three queries. Build: cc vector_search.c $(pkg-config --cflags --libs quash) */
#include <quash/quash.h>

#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 10000, DIM = 96, QUERIES = 3, K = 5 };

/* A small generator, so that the output is the same everywhere. */
static float random_number(void) {
    static uint32_t state = 1;
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) { /* four uniform numbers: nearly normal */
        state = state * 1664525u + 1013904223u;
        sum += (float)(state >> 8) / 16777216.0f - 0.5f;
    }
    return sum;
}

static int check(quash_status status) {
    if (status != QUASH_OK) {
        fprintf(stderr, "%s: %s\n", quash_status_string(status), quash_last_message());
    }
    return status != QUASH_OK;
}

static int search(quash_index *index, const float *vectors) {
    const quash_array rows = quash_array_view(vectors, QUASH_F32, 2, COUNT, DIM, 0);
    const quash_array queries = quash_array_view(vectors, QUASH_F32, 2, QUERIES, DIM, 0);
    float scores[QUERIES * K];
    int64_t ids[QUERIES * K];
    if (check(quash_index_add(index, &rows)) ||
        check(quash_index_search(index, &queries, K, scores, ids))) {
        return 1;
    }
    for (int q = 0; q < QUERIES; q++) {
        for (int i = 0; i < K; i++) {
            printf("%8lld (%.3f)", (long long)ids[q * K + i], (double)scores[q * K + i]);
        }
        printf("\n");
    }
    const quash_index_bytes bytes = quash_index_get_bytes(index);
    printf("%lld bytes held, %lld as binary32\n", (long long)bytes.total,
           (long long)COUNT * DIM * 4);
    return ids[0] != 0 || ids[K] != 1 || ids[2 * K] != 2; /* each query is its own nearest */
}

int main(void) {
    float *vectors = malloc((size_t)COUNT * DIM * sizeof *vectors);
    if (vectors == NULL) {
        return 1;
    }
    for (size_t i = 0; i < (size_t)COUNT * DIM; i++) {
        vectors[i] = random_number();
    }
    quash_context *context = NULL;
    quash_index *index = NULL;
    quash_index_params params = QUASH_INDEX_PARAMS_INIT;
    params.dim = DIM;
    params.bits = 4;
    params.metric = QUASH_METRIC_COSINE;
    const int failed = check(quash_context_create(&context, NULL)) ||
                       check(quash_index_create(&index, context, &params)) ||
                       search(index, vectors);
    quash_index_free(index);
    quash_context_free(context);
    free(vectors);
    return failed;
}
