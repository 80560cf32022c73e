/* SPDX-License-Identifier: Apache-2.0 */
/* support.h: what several tests need: random rows, a runner of threads, an allocator that counts,
 * and checks of failures, bytes and errors. Everything is deterministic. */
#ifndef QUASH_TESTS_SUPPORT_H
#define QUASH_TESTS_SUPPORT_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quash/codec.h>

#include "base/rng.h"
#include "test.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Memory of a test; never NULL. */
static inline void *test_alloc(size_t size) {
    void *const memory = malloc(size != 0 ? size : 1);
    if (memory == NULL) {
        printf("the test is out of memory\n");
        exit(1);
    }
    return memory;
}

/* ---- Random numbers ---------------------------------------------------------------------- */

struct test_rng {
    uint64_t key;
    uint64_t next;
};

static inline struct test_rng test_rng_start(uint64_t seed) {
    return (struct test_rng){ quash_rng_key(seed, 0x7E57), 0 };
}

static inline uint64_t test_word(struct test_rng *rng) {
    return quash_rng_word(rng->key, rng->next++);
}

/* In [0, limit). */
static inline size_t test_below(struct test_rng *rng, size_t limit) {
    return (size_t)(test_word(rng) % limit);
}

/* In (0, 1). */
static inline double test_uniform(struct test_rng *rng) {
    return ((double)(test_word(rng) >> 12) + 0.5) * 0x1p-52;
}

/* Standard normal: one half of a Box-Muller pair. */
static inline double test_normal(struct test_rng *rng) {
    const double radius = sqrt(-2.0 * log(test_uniform(rng)));
    return radius * cos(6.283185307179586 * test_uniform(rng));
}

static inline void test_fill_gaussian(struct test_rng *rng, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)test_normal(rng);
    }
}

static inline double test_dot(const float *a, const float *b, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

/* Stretches x to length 1. */
static inline void test_normalize(float *x, size_t n) {
    const double factor = 1.0 / sqrt(test_dot(x, x, n));
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)((double)x[i] * factor);
    }
}

/* Rows that are uniform on the unit sphere. */
static inline void test_fill_sphere(struct test_rng *rng, float *rows, size_t count, size_t dim) {
    test_fill_gaussian(rng, rows, count * dim);
    for (size_t r = 0; r < count; r++) {
        test_normalize(rows + r * dim, dim);
    }
}

/* Sum of squared differences. */
static inline double test_squared_error(const float *a, const float *b, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double difference = (double)a[i] - (double)b[i];
        sum += difference * difference;
    }
    return sum;
}

/* Mean and its standard error of numbers that come one by one. */
struct test_mean {
    double count;
    double sum;
    double squares;
};

static inline void test_mean_add(struct test_mean *mean, double value) {
    mean->count += 1.0;
    mean->sum += value;
    mean->squares += value * value;
}

static inline double test_mean_get(const struct test_mean *mean) {
    return mean->sum / mean->count;
}

static inline double test_mean_error(const struct test_mean *mean) {
    const double average = test_mean_get(mean);
    const double variance = mean->squares / mean->count - average * average;
    return sqrt((variance > 0.0 ? variance : 0.0) / mean->count);
}

/* ---- Runner of threads ------------------------------------------------------------------- */

#define TEST_THREADS_MAX 16

struct test_job {
    quash_task task;
    void *state;
    int64_t count;
    _Atomic int64_t next;
};

struct test_thread {
    struct test_job *job;
    int32_t worker;
    pthread_t thread;
};

static inline void *test_thread_main(void *argument) {
    const struct test_thread *const self = argument;
    for (;;) {
        const int64_t index = atomic_fetch_add(&self->job->next, 1);
        if (index >= self->job->count) {
            return NULL;
        }
        self->job->task(self->job->state, index, self->worker);
    }
}

/* The run of a quash_runner; user is a const int32_t, the workers. Threads live for one job. */
static inline void test_threads_run(void *user, quash_task task, void *state, int64_t count) {
    const int32_t workers = *(const int32_t *)user;
    struct test_job job = { task, state, count, 0 };
    struct test_thread threads[TEST_THREADS_MAX];
    for (int32_t w = 0; w < workers; w++) {
        threads[w].job = &job;
        threads[w].worker = w;
        if (pthread_create(&threads[w].thread, NULL, test_thread_main, &threads[w]) != 0) {
            printf("pthread_create failed\n");
            exit(1);
        }
    }
    for (int32_t w = 0; w < workers; w++) {
        (void)pthread_join(threads[w].thread, NULL);
    }
}

/* *workers is borrowed, at most TEST_THREADS_MAX. */
static inline quash_runner test_threads(int32_t *workers) {
    return (quash_runner){ workers, *workers, test_threads_run };
}

/* ---- Allocator that counts --------------------------------------------------------------- */

/* Blocks are filled with garbage, and remember their size, which free must be told again. */
struct test_memory {
    atomic_long calls;
    atomic_long blocks; /* alive */
    atomic_long bytes;  /* alive */
    atomic_long wrong_sizes;
};

static inline void *test_memory_alloc(void *user, size_t size, size_t alignment) {
    struct test_memory *const memory = user;
    atomic_fetch_add(&memory->calls, 1);
    const size_t whole = (alignment + size + alignment - 1) / alignment * alignment;
    unsigned char *const block = aligned_alloc(alignment, whole);
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0xA5, whole);
    memcpy(block + alignment - sizeof size, &size, sizeof size);
    memcpy(block, &alignment, sizeof alignment);
    atomic_fetch_add(&memory->blocks, 1);
    atomic_fetch_add(&memory->bytes, (long)size);
    return block + alignment;
}

static inline void test_memory_free(void *user, void *pointer, size_t size) {
    struct test_memory *const memory = user;
    const size_t alignment = 64; /* the only one the library asks for */
    unsigned char *const block = (unsigned char *)pointer - alignment;
    size_t known;
    memcpy(&known, block + alignment - sizeof known, sizeof known);
    if (known != size) {
        atomic_fetch_add(&memory->wrong_sizes, 1);
    }
    atomic_fetch_sub(&memory->blocks, 1);
    atomic_fetch_sub(&memory->bytes, (long)size);
    free(block);
}

static inline quash_allocator test_counting_allocator(struct test_memory *memory) {
    return (quash_allocator){ memory, test_memory_alloc, test_memory_free };
}

/* ---- Checks ------------------------------------------------------------------------------ */

static inline bool test_check_fails(quash_status status, quash_status expected, const char *message,
                                    const char *file, int line, const char *text) {
    const bool ok = test_check(status == expected && strcmp(quash_last_message(), message) == 0,
                               file, line, text);
    if (!ok) {
        printf("    %s: \"%s\"\n    expected %s: \"%s\"\n", quash_status_string(status),
               quash_last_message(), quash_status_string(expected), message);
    }
    return ok;
}

/* The call fails with this status and exactly this message. */
#define CHECK_FAILS(call, status, message)                                                         \
    test_check_fails((call), (status), (message), __FILE__, __LINE__, #call)

/* ---- Codecs ------------------------------------------------------------------------------ */

static inline quash_context *test_context_must(const quash_context_params *params) {
    quash_context *context = NULL;
    if (!CHECK_EQ(quash_context_create(&context, params), QUASH_OK)) {
        printf("%s\n", quash_last_message());
        exit(1);
    }
    return context;
}

/* A context that must come to be; serial without a runner. */
static inline quash_context *test_context(const quash_runner *runner) {
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.runner = runner;
    params.threads = runner == NULL ? 1 : 0;
    return test_context_must(&params);
}

/* A context with a pool of its own. */
static inline quash_context *test_pool_context(int32_t threads) {
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.threads = threads;
    return test_context_must(&params);
}

static inline quash_codec_params test_params(size_t dim, int32_t bits) {
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    params.dim = (int32_t)dim;
    params.bits = bits;
    return params;
}

static inline quash_codec *test_codec(quash_context *context, const quash_codec_params *params) {
    quash_codec *codec = NULL;
    if (!CHECK_EQ(quash_codec_create(&codec, context, params), QUASH_OK)) {
        printf("%s\n", quash_last_message());
        exit(1);
    }
    return codec;
}

/* Encodes and decodes rows of binary32 that must succeed. */
static inline void test_round_trip(const quash_codec *codec, const float *rows, size_t count,
                                   float *decoded) {
    const int64_t dim = quash_codec_get_params(codec).dim;
    const size_t bytes = count * quash_codec_row_bytes(codec);
    void *const codes = test_alloc(bytes);
    const quash_array in = quash_array_view(rows, QUASH_F32, 2, (int64_t)count, dim, 0);
    const quash_array out = quash_array_view(decoded, QUASH_F32, 2, (int64_t)count, dim, 0);
    CHECK_EQ(quash_encode(codec, &in, codes, bytes), QUASH_OK);
    CHECK_EQ(quash_decode(codec, codes, bytes, &out), QUASH_OK);
    free(codes);
}

#endif
