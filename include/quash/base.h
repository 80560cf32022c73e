/* SPDX-License-Identifier: Apache-2.0 */
/* base.h: what every other header stands on. Compiles alone as C11 and as C++17.
 *
 * QuashKV compresses high-dimensional vectors to 1-4 bits per coordinate and computes on the
 * compressed form. A program creates one context, creates codecs, caches and indexes with it, and
 * frees them before the context:
 *
 *     quash_context *context = NULL;
 *     if (quash_context_create(&context, NULL) != QUASH_OK) {
 *         fprintf(stderr, "%s\n", quash_last_message());
 *         return 1;
 *     }
 *     ...
 *     quash_context_free(context);
 *
 * Rules that hold for the whole API:
 *   - A function that can fail returns quash_status; results come back through pointers and are
 *     written only on success, unless its comment says otherwise. Getters cannot fail.
 *   - Inputs are borrowed for the call only. Outputs belong to the caller.
 *   - Free functions accept NULL. The object passed to any other function must not be NULL.
 *   - A *_params struct starts with struct_size; fill it with its *_PARAMS_INIT macro.
 *   - The library never prints, exits or aborts, and has no global state but the message below.
 *   - Until 1.0 the ABI and the formats are drafts.
 */
#ifndef QUASH_BASE_H
#define QUASH_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define QUASH_API __attribute__((visibility("default")))
#define QUASH_MUST_CHECK __attribute__((warn_unused_result))
#else
#define QUASH_API
#define QUASH_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Largest number of coordinates of a vector, everywhere. */
#define QUASH_DIM_MAX 16384

/* ---- Version ----------------------------------------------------------------------------- */

#define QUASH_VERSION_MAJOR 0
#define QUASH_VERSION_MINOR 1
#define QUASH_VERSION_PATCH 0

/* Version of the library that runs, as "0.1.0". Static storage. */
QUASH_API const char *quash_version_string(void);

/* ---- Status ------------------------------------------------------------------------------ */

/* Outcome of a call. The values are pinned; 0 is success and every failure is negative. */
typedef enum quash_status {
    QUASH_OK = 0,
    QUASH_ERROR_ARGUMENT = -1,    /* an argument or an input value is not allowed */
    QUASH_ERROR_UNSUPPORTED = -2, /* a valid request that this build or this CPU cannot serve */
    QUASH_ERROR_MEMORY = -3,      /* the allocator returned NULL */
    QUASH_ERROR_CAPACITY = -4,    /* a buffer of the caller is too small, or a limit is reached */
    QUASH_ERROR_FORMAT = -5,      /* stored bytes are damaged or not ours */
    QUASH_ERROR_VERSION = -6      /* stored bytes are of a format version unknown to this build */
} quash_status;

/* Name of a status in plain words, for example "argument". Static storage; never NULL. */
QUASH_API const char *quash_status_string(quash_status status);

/* What the calling thread's last failed call had to say: it names the argument, its value and what
 * was expected. Valid until the next failure on the same thread; "" before the first. */
QUASH_API const char *quash_last_message(void);

/* ---- Arrays ------------------------------------------------------------------------------ */

typedef enum quash_dtype {
    QUASH_F32 = 0,
    QUASH_F16 = 1,  /* IEEE binary16 */
    QUASH_BF16 = 2, /* upper half of binary32 */
    QUASH_I8 = 3,
    QUASH_U8 = 4
} quash_dtype;

/* A view of memory that the caller owns: at most 4 dimensions, strides in ELEMENTS (as DLPack and
 * torch count them). The last dimension must be contiguous (stride 1) unless its size is 1. A
 * stride may be negative or 0 for inputs; outputs must not overlap themselves. Elements may be
 * misaligned. */
typedef struct quash_array {
    void *data;
    int32_t dtype; /* a quash_dtype */
    int32_t ndim;  /* 1..4 */
    int64_t shape[4];
    int64_t stride[4];
} quash_array;

/* A row-major view: data of the given dtype and ndim sizes, strides filled in. Sizes beyond ndim
 * are ignored. Does not validate: the call that receives the array does. */
QUASH_API quash_array quash_array_view(const void *data, quash_dtype dtype, int32_t ndim,
                                       int64_t size0, int64_t size1, int64_t size2);

/* ---- Allocator and runner ---------------------------------------------------------------- */

/* Where the library takes memory from. alloc returns size bytes aligned to `alignment` (a power of
 * two, at most 64) or NULL; free receives what alloc returned, and its size. Both may be called
 * from any thread that calls the library. */
typedef struct quash_allocator {
    void *user;
    void *(*alloc)(void *user, size_t size, size_t alignment);
    void (*free)(void *user, void *pointer, size_t size);
} quash_allocator;

/* One piece of a job: the index-th of `count`, on worker `worker`. */
typedef void (*quash_task)(void *state, int64_t index, int32_t worker);

/* How the library runs jobs in parallel. run calls task(state, i, w) once for every i in
 * [0, count), in any order and on any thread, and returns when all are done. w is in [0, workers),
 * and two calls of one job that overlap in time have different w. A task starts no job. Results
 * never depend on the schedule. */
typedef struct quash_runner {
    void *user;
    int32_t workers; /* 1..1024 */
    void (*run)(void *user, quash_task task, void *state, int64_t count);
} quash_runner;

/* ---- Context ----------------------------------------------------------------------------- */

/* CPU level, allocator and threads shared by everything created with it. Immutable after creation:
 * any number of threads may use one context. It must outlive every object created with it.
 *
 * What is parallel: encoding and decoding by 64 rows, appending by KV heads and pages, attention by
 * KV heads, 16 query rows and ranges of 4,096 tokens, search by 8 queries. A call of one such piece
 * stays on the calling thread, the search of one query for example.
 *
 * Threads: without a runner of the caller the context has workers of its own, the calling thread
 * being one of them. The others start when a call first has work for them, sleep between calls, and
 * end when the context is freed. They block all signals but those of faults of their own, and are
 * named "quash-1" and so on where the system has names. Where the system refuses a thread the
 * context works with those it got. Of calls made at once by several threads none waits: one has
 * all workers, each other one runs on the thread that made it.
 *
 * A child made by fork, even while other threads are inside calls, may go on with the contexts and
 * objects of its parent, except with objects that were being written at that moment; it starts
 * threads of its own. */
typedef struct quash_context quash_context;

typedef struct quash_context_params {
    uint32_t struct_size;
    const quash_allocator *allocator; /* copied; NULL: the C library's */
    const quash_runner *runner;       /* copied; NULL: threads of the context's own */
    int32_t threads; /* workers without a runner, 1..1024. 1: serial, no thread is started.
                      * 0: QUASH_THREADS says, else one per CPU the process may run on (a
                      * container's quota of CPU time is not seen). With a runner: 0 */
} quash_context_params;

#define QUASH_CONTEXT_PARAMS_INIT                                                                  \
    { sizeof(quash_context_params), NULL, NULL, 0 }

/* Creates a context. params may be NULL for the defaults. The CPU level is the best that this
 * machine and its operating system support; the environment variable QUASH_CPU (c, avx2, avx512,
 * neon, dotprod) forces a lower one. QUASH_THREADS (1..1024) is read only when params leave the
 * number of workers open: threads or a runner of the caller win. An empty variable counts as unset.
 * Errors: ARGUMENT (struct_size, half-filled allocator or runner, threads out of range or beside a
 * runner, unknown QUASH_CPU, QUASH_THREADS that is no number in range),
 * UNSUPPORTED (QUASH_CPU names a level this machine lacks; big-endian host), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_context_create(quash_context **out,
                                                             const quash_context_params *params);

/* Ends the threads. Nothing created with the context is left, and no call of it runs. */
QUASH_API void quash_context_free(quash_context *context);

/* Workers that a call may use, the calling thread included. */
QUASH_API int32_t quash_context_workers(const quash_context *context);

/* One line for bug reports, for example "quash 0.1.0 cpu=avx2 workers=8", written to text (always
 * terminated, cut at size). Returns the length of the whole line, as snprintf does. */
QUASH_API size_t quash_context_describe(const quash_context *context, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
