/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a child made by fork, while another thread of the parent is inside calls, may go on
 * with the parent's context and objects: it encodes to the serial bytes, from one thread and from
 * several, frees everything, and so may its own child; or it frees what it never used. The parent
 * loses no memory and its calls go on. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_support.h"

#define DIM 48
#define ROWS 700 /* 11 pieces */
#define ROUNDS 40

/* gcc's thread sanitizer ends a forked child that starts a thread. The address sanitizer's own
 * allocator, which every thread uses as it starts, does not tend its locks at a fork: a child waits
 * for ever for one that a thread of the parent held. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define NO_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define NO_FORK 1
#endif
#endif
#ifndef NO_FORK
#define NO_FORK 0
#endif

/* ---- An allocator without locks ---------------------------------------------------------- */

/* The child's copy of any other could be locked by a thread that the child does not have. */
#define SLOTS 64
#define SLOT_BYTES ((size_t)65536)

static _Alignas(64) unsigned char slots[SLOTS][SLOT_BYTES];
static atomic_int slot_taken[SLOTS];

static void *slot_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    for (size_t i = 0; i < SLOTS && size <= SLOT_BYTES && alignment <= 64; i++) {
        int is_free = 0;
        if (atomic_compare_exchange_strong(&slot_taken[i], &is_free, 1)) {
            return slots[i];
        }
    }
    return NULL;
}

static void slot_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    atomic_store(&slot_taken[(size_t)((unsigned char *)pointer - slots[0]) / SLOT_BYTES], 0);
}

static int slots_taken(void) {
    int count = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        count += atomic_load(&slot_taken[i]);
    }
    return count;
}

/* ---- The work ---------------------------------------------------------------------------- */

static float rows[ROWS * DIM];
static uint8_t expected[ROWS * (4 + DIM / 2)];
static quash_context *context;
static quash_codec *codec;

static bool encodes_right(void) {
    uint8_t codes[sizeof expected];
    const quash_array array = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    memset(codes, 0, sizeof codes);
    return quash_encode(codec, &array, codes, sizeof codes) == QUASH_OK &&
           memcmp(codes, expected, sizeof codes) == 0;
}

static void setup(int32_t threads) {
    struct test_rng rng = test_rng_start(3);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    const quash_codec_params params = test_params(DIM, 4);
    const quash_allocator allocator = { NULL, slot_alloc, slot_free };
    quash_context *const serial = test_context(NULL);
    codec = test_codec(serial, &params);
    const quash_array array = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    CHECK_EQ(quash_encode(codec, &array, expected, sizeof expected), QUASH_OK);
    quash_codec_free(codec);
    quash_context_free(serial);
    quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
    context_params.allocator = &allocator;
    context_params.threads = threads;
    context = test_context_must(&context_params);
    codec = test_codec(context, &params);
}

static atomic_int stop_busy;
static atomic_long busy_rounds;
static atomic_long busy_wrong;

static void *stay_busy(void *argument) {
    (void)argument;
    while (!atomic_load(&stop_busy)) {
        if (!encodes_right()) {
            atomic_fetch_add(&busy_wrong, 1);
        }
        atomic_fetch_add(&busy_rounds, 1);
    }
    return NULL;
}

/* ---- Children ---------------------------------------------------------------------------- */

/* 0, or the first thing that went wrong: the exit code of a child. */

static void *encode_in_thread(void *wrong) {
    for (int round = 0; round < 3; round++) {
        if (!encodes_right()) {
            atomic_store((atomic_int *)wrong, 1);
        }
    }
    return NULL;
}

static int use_from_threads(void) {
    pthread_t threads[3];
    atomic_int wrong = 0;
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        if (pthread_create(&threads[i], NULL, encode_in_thread, &wrong) != 0) {
            return 10;
        }
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return atomic_load(&wrong) ? 11 : 0;
}

static int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return 20;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 21; /* 21: a signal, the alarm for one */
}

static int use_in_own_child(void) {
    if (!encodes_right()) {
        return 30;
    }
    const pid_t child = fork();
    if (child == 0) {
        (void)alarm(60);
        _exit(encodes_right() && encodes_right() ? 0 : 31);
    }
    return child < 0 ? 32 : wait_for(child);
}

static int be_child(int kind) {
    (void)alarm(60); /* a child that hangs is a failure, and ends */
    int wrong = 0;
    switch (kind) {
    case 0: wrong = encodes_right() && encodes_right() ? 0 : 1; break;
    case 1: wrong = use_from_threads(); break;
    case 2: wrong = use_in_own_child(); break;
    default: break; /* frees what it never used */
    }
    if (wrong == 0 && kind <= 2) {
        struct test_meeting meeting = { .workers = context->runner.workers };
        quash_run(&context->runner, test_meet, &meeting, meeting.workers); /* all its threads */
    }
    quash_codec_free(codec);
    quash_context_free(context);
    const int left = test_each_thread(NULL, NULL) == 0 ? 1 : test_thread_count(1);
    return wrong != 0 ? wrong : left != 1 ? 2 : 0;
}

static void check_children(int32_t threads, bool used_before) {
    setup(threads);
    const int taken = slots_taken();
    pthread_t busy;
    atomic_store(&stop_busy, 0);
    atomic_store(&busy_rounds, 0);
    if (used_before) {
        CHECK_EQ(pthread_create(&busy, NULL, stay_busy, NULL), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        const long seen = atomic_load(&busy_rounds);
        while (used_before && atomic_load(&busy_rounds) == seen) {
            (void)sched_yield();
        }
        const pid_t child = fork();
        if (child == 0) {
            _exit(be_child(round % 4));
        }
        CHECK(child > 0);
        CHECK_EQ(child > 0 ? wait_for(child) : -1, 0);
        CHECK(encodes_right());
    }
    atomic_store(&stop_busy, 1);
    if (used_before) {
        (void)pthread_join(busy, NULL);
    }
    CHECK_EQ(atomic_load(&busy_wrong), 0);
    CHECK_EQ(slots_taken(), taken);
    quash_codec_free(codec);
    quash_context_free(context);
    CHECK_EQ(slots_taken(), 0);
}

TEST(children_go_on_while_another_thread_works) {
    static const int32_t thread_counts[] = { 2, 3, 8 };
    for (size_t i = 0; i < COUNT_OF(thread_counts); i++) {
        check_children(thread_counts[i], true);
    }
}

TEST(children_go_on_with_a_context_at_rest) {
    check_children(3, false);
    check_children(1, false);
}

int main(void) {
    if (NO_FORK) {
        printf("SKIPPED: the sanitizers have no threads in forked children\n");
        return 77;
    }
    RUN(children_go_on_while_another_thread_works);
    RUN(children_go_on_with_a_context_at_rest);
    return test_report();
}
