/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what base.h says of the threads of a context: how many there are, when they start and end,
 * that every piece of a job is done once and by different workers at once, that a second job at the
 * same time neither waits nor fails, that hosts' signals stay theirs and that idle threads sleep. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "pool_support.h"

#include "base/pool.h"

/* ---- How many ---------------------------------------------------------------------------- */

static int32_t cpus(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    return -1;
}

TEST(the_field_beats_the_environment_beats_the_cpus) {
    int32_t workers = 0;
    static const struct {
        int32_t threads;
        const char *environment;
        int32_t expected;
    } cases[] = { { 1, NULL, 1 }, { 7, NULL, 7 },      { 1024, NULL, 1024 },
                  { 3, "5", 3 },  { 1, "abacus", 1 },  { 0, "1", 1 },
                  { 0, "2", 2 },  { 0, "1024", 1024 }, { 0, "0000064", 64 } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_EQ(quash_pool_workers(cases[i].threads, cases[i].environment, &workers), QUASH_OK);
        CHECK_EQ(workers, cases[i].expected);
    }
    if (cpus() < 0) {
        printf("SKIPPED: the CPUs of the process\n");
        return;
    }
    CHECK_EQ(quash_pool_workers(0, NULL, &workers), QUASH_OK);
    CHECK_EQ(workers, cpus());
    workers = 0;
    CHECK_EQ(quash_pool_workers(0, "", &workers), QUASH_OK);
    CHECK_EQ(workers, cpus());
}

TEST(other_numbers_are_refused) {
    static const int32_t numbers[] = { -1, 1025, INT32_MIN, INT32_MAX };
    static const char *const texts[] = { "0",    "1025", "-1",         "+1",          " 2",  "2 ",
                                         "2x",   "0x2",  "1.5",        "00000",       "two", "1,2",
                                         "1\n2", "9999", "4294967297", "99999999999", "\xff" };
    int32_t workers = -7;
    char message[128];
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        (void)snprintf(message, sizeof message, "threads is %d, expected 0..1024", (int)numbers[i]);
        CHECK_FAILS(quash_pool_workers(numbers[i], "2", &workers), QUASH_ERROR_ARGUMENT, message);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        (void)snprintf(message, sizeof message, "QUASH_THREADS is \"%s\", expected 1..1024",
                       texts[i]);
        CHECK_FAILS(quash_pool_workers(0, texts[i], &workers), QUASH_ERROR_ARGUMENT, message);
    }
    CHECK_FAILS(quash_pool_workers(0, "0123456789012345678901234567890123456789", &workers),
                QUASH_ERROR_ARGUMENT,
                "QUASH_THREADS is \"01234567890123456789012345678901\", expected 1..1024");
    CHECK_EQ(workers, -7);
}

#if defined(__linux__)
TEST(the_affinity_mask_counts) {
    cpu_set_t before;
    cpu_set_t one;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
        }
    }
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    int32_t workers = 0;
    CHECK_EQ(quash_pool_workers(0, NULL, &workers), QUASH_OK);
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    CHECK_EQ(workers, 1);
}
#endif

/* ---- Jobs -------------------------------------------------------------------------------- */

struct visits {
    atomic_int seen[1000];
    atomic_int workers[TEST_POOL_MAX];
};

static void visit(void *state, int64_t index, int32_t worker) {
    struct visits *const v = state;
    atomic_fetch_add(&v->seen[index], 1);
    atomic_fetch_add(&v->workers[worker], 1);
}

static void check_visits(const quash_context *context, int64_t count) {
    struct visits v;
    memset(&v, 0, sizeof v);
    quash_run(&context->runner, visit, &v, count);
    int64_t wrong = 0;
    for (int64_t i = 0; i < 1000; i++) {
        wrong += atomic_load(&v.seen[i]) != (i < count ? 1 : 0);
    }
    CHECK_EQ(wrong, 0);
    int64_t total = 0;
    for (int32_t w = 0; w < TEST_POOL_MAX; w++) {
        total += atomic_load(&v.workers[w]);
        CHECK(w < context->runner.workers || atomic_load(&v.workers[w]) == 0);
    }
    CHECK_EQ(total, count);
}

static const int32_t thread_counts[] = { 1, 2, 3, 8, 64 };

TEST(every_piece_is_done_once) {
    static const int64_t counts[] = { 0, 1, 2, 3, 63, 1000, 2 };
    for (size_t t = 0; t < COUNT_OF(thread_counts); t++) {
        quash_context *const context = test_pool_context(thread_counts[t]);
        CHECK_EQ(context->runner.workers, thread_counts[t]);
        for (int round = 0; round < 30; round++) {
            for (size_t i = 0; i < COUNT_OF(counts); i++) {
                check_visits(context, counts[i]);
            }
        }
        quash_context_free(context);
    }
}

TEST(all_workers_work_at_once) {
    for (size_t t = 0; t < COUNT_OF(thread_counts); t++) {
        quash_context *const context = test_pool_context(thread_counts[t]);
        for (int round = 0; round < 20; round++) {
            struct test_meeting meeting;
            test_start_all(context, &meeting);
            for (int32_t w = 1; w < meeting.workers; w++) {
                CHECK(!pthread_equal(meeting.thread[w], meeting.thread[w - 1]));
            }
        }
        quash_context_free(context);
    }
}

/* Jobs so short that helpers wake when they are over, one after the other: none may run a piece of
 * a job that has ended, or with the state of another. */
struct short_job {
    int alive;
    int64_t count;
    atomic_int done;
    atomic_int *wrong;
};

static void short_task(void *state, int64_t index, int32_t worker) {
    struct short_job *const job = state;
    (void)worker;
    if (job->alive != 1 || index >= job->count) {
        atomic_fetch_add(job->wrong, 1);
    }
    atomic_fetch_add(&job->done, 1);
}

TEST(helpers_that_wake_late_do_nothing) {
    quash_context *const context = test_pool_context(8);
    static struct short_job jobs[64]; /* not reused at once */
    atomic_int wrong = 0;
    int64_t missing = 0;
    for (int round = 0; round < 30000; round++) {
        struct short_job *const job = &jobs[round % 64];
        job->alive = 1;
        job->count = 2 + round % 9;
        job->wrong = &wrong;
        atomic_store_explicit(&job->done, 0, memory_order_relaxed);
        quash_run(&context->runner, short_task, job, job->count);
        job->alive = 0;
        missing += job->count - atomic_load_explicit(&job->done, memory_order_relaxed);
    }
    CHECK_EQ(atomic_load(&wrong), 0);
    CHECK_EQ(missing, 0);
    quash_context_free(context);
}

/* ---- Jobs at once ------------------------------------------------------------------------ */

/* The first job does not end before the second has. */
struct overlap {
    const quash_context *context;
    atomic_int inside; /* pieces of the first job that have begun */
    atomic_int second_done;
    pthread_t second;
    atomic_int strays; /* pieces of the second job elsewhere than on its caller, as worker 0 */
    atomic_int pieces;
};

static void second_task(void *state, int64_t index, int32_t worker) {
    struct overlap *const o = state;
    (void)index;
    atomic_fetch_add(&o->pieces, 1);
    if (worker != 0 || !pthread_equal(pthread_self(), o->second)) {
        atomic_fetch_add(&o->strays, 1);
    }
}

static void *second_main(void *state) {
    struct overlap *const o = state;
    o->second = pthread_self();
    while (atomic_load(&o->inside) == 0) {
        (void)sched_yield();
    }
    quash_run(&o->context->runner, second_task, o, 50);
    atomic_store(&o->second_done, 1);
    return NULL;
}

static void first_task(void *state, int64_t index, int32_t worker) {
    struct overlap *const o = state;
    (void)index;
    (void)worker;
    atomic_fetch_add(&o->inside, 1);
    while (atomic_load(&o->second_done) == 0) {
        (void)sched_yield();
    }
}

TEST(a_second_job_runs_on_its_own_thread_at_once) {
    for (int32_t threads = 2; threads <= 8; threads *= 2) {
        struct overlap o = { .context = test_pool_context(threads) };
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, second_main, &o), 0);
        quash_run(&o.context->runner, first_task, &o, 20);
        (void)pthread_join(thread, NULL);
        CHECK_EQ(atomic_load(&o.inside), 20);
        CHECK_EQ(atomic_load(&o.pieces), 50);
        CHECK_EQ(atomic_load(&o.strays), 0);
        check_visits(o.context, 100);
        quash_context_free((quash_context *)(uintptr_t)o.context);
    }
}

static void *visit_again_and_again(void *context) {
    for (int round = 0; round < 300; round++) {
        check_visits(context, round % 40);
    }
    return NULL;
}

TEST(many_threads_may_call_at_once) {
    quash_context *const context = test_pool_context(3);
    pthread_t threads[6];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, visit_again_and_again, context), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    quash_context_free(context);
}

/* ---- Start and end ----------------------------------------------------------------------- */

TEST(threads_start_when_needed_and_end_with_the_context) {
    const int before = test_each_thread(NULL, NULL);
    if (before == 0) {
        printf("SKIPPED: no /proc\n");
        return;
    }
    struct test_memory memory = { 0 };
    const quash_allocator allocator = test_counting_allocator(&memory);
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.allocator = &allocator;
    for (int cycle = 0; cycle < 100; cycle++) {
        params.threads = cycle % 8 + 1;
        quash_context *const context = test_context_must(&params);
        check_visits(context, 0);
        check_visits(context, 1);
        CHECK_EQ(test_thread_count(before), before);
        check_visits(context, 2);
        CHECK_EQ(test_each_thread(NULL, NULL), before + (params.threads > 1));
        check_visits(context, 1000);
        CHECK_EQ(test_each_thread(NULL, NULL), before + params.threads - 1);
        CHECK_EQ(atomic_load(&memory.calls), cycle + 1); /* the pool takes no memory later */
        quash_context_free(context);
        CHECK_EQ(test_thread_count(before), before);
    }
    CHECK_EQ(atomic_load(&memory.blocks), 0);
    CHECK_EQ(atomic_load(&memory.wrong_sizes), 0);
}

TEST(idle_threads_sleep) {
    quash_context *const context = test_pool_context(4);
    struct test_meeting meeting;
    test_start_all(context, &meeting);
    const struct timespec moment = { 0, 400000000 };
    (void)nanosleep(&moment, NULL); /* they may be on their way to sleep */
    const clock_t before = clock(); /* CPU time of all threads */
    (void)nanosleep(&moment, NULL);
    const double busy = (double)(clock() - before) / CLOCKS_PER_SEC;
    CHECK(busy < 0.1); /* one thread awake: 0.4 */
    quash_context_free(context);
}

/* ---- Names and signals ------------------------------------------------------------------- */

/* The line of /proc/self/task/<id>/<file> that begins with key, without it. */
static bool read_line(const char *id, const char *file, const char *key, char *line, int size) {
    char path[300];
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/%s", id, file);
    FILE *const stream = fopen(path, "r");
    bool found = false;
    while (stream != NULL && !found && fgets(line, size, stream) != NULL) {
        found = strncmp(line, key, strlen(key)) == 0;
    }
    if (stream != NULL) {
        (void)fclose(stream);
    }
    if (found) {
        memmove(line, line + strlen(key), strlen(line) - strlen(key) + 1);
        line[strcspn(line, "\n")] = '\0';
    }
    return found;
}

struct names {
    bool seen[TEST_POOL_MAX];
    int others;
};

static void look_at_thread(void *state, const char *id) {
    static const int host_signals[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGALRM,  SIGCHLD,
                                        SIGUSR1, SIGUSR2, SIGPROF, SIGPIPE, SIGWINCH, SIGVTALRM };
    static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    struct names *const names = state;
    char line[256];
    int number = -1;
    if (!CHECK(read_line(id, "comm", "", line, sizeof line)) ||
        sscanf(line, "quash-%d", &number) != 1 || number < 1 || number >= TEST_POOL_MAX) {
        names->others++;
        return;
    }
    names->seen[number] = true;
    CHECK(read_line(id, "status", "SigBlk:", line, sizeof line));
    const uint64_t blocked = strtoull(line, NULL, 16);
    for (size_t i = 0; i < COUNT_OF(host_signals); i++) {
        CHECK((blocked >> (host_signals[i] - 1) & 1) == 1);
    }
    for (size_t i = 0; i < COUNT_OF(fault_signals); i++) {
        CHECK((blocked >> (fault_signals[i] - 1) & 1) == 0);
    }
}

TEST(threads_have_names_and_leave_signals_to_the_host) {
    const int before = test_each_thread(NULL, NULL);
    sigset_t mask;
    sigset_t after;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    quash_context *const context = test_pool_context(5);
    struct test_meeting meeting;
    test_start_all(context, &meeting);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int signal = 1; signal < SIGRTMIN; signal++) { /* the host's mask is what it was */
        CHECK_EQ(sigismember(&after, signal), signal == SIGUSR2);
    }
    struct names names = { { false }, 0 };
    if (before > 0) {
        CHECK_EQ(test_each_thread(look_at_thread, &names), before + 4);
        CHECK_EQ(names.others, before);
        CHECK(!names.seen[0] && names.seen[1] && names.seen[2] && names.seen[3] && names.seen[4]);
    } else {
        printf("SKIPPED: no /proc\n");
    }
    quash_context_free(context);
}

int main(void) {
    RUN(the_field_beats_the_environment_beats_the_cpus);
    RUN(other_numbers_are_refused);
#if defined(__linux__)
    RUN(the_affinity_mask_counts);
#endif
    RUN(every_piece_is_done_once);
    RUN(all_workers_work_at_once);
    RUN(helpers_that_wake_late_do_nothing);
    RUN(a_second_job_runs_on_its_own_thread_at_once);
    RUN(many_threads_may_call_at_once);
    RUN(threads_start_when_needed_and_end_with_the_context);
    RUN(idle_threads_sleep);
    RUN(threads_have_names_and_leave_signals_to_the_host);
    return test_report();
}
