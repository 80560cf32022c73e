/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the small parts everything stands on: the random words, CRC-32C, the arena, allocation and
 * its overflow, the choice of a CPU level, runners, and the texts of statuses. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "support.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/cpu.h"
#include "base/runner.h"
#include "base/status.h"

/* ---- Random words ------------------------------------------------------------------------ */

TEST(words_are_those_of_splitmix64) {
    /* Published first outputs of SplitMix64 for the seed 1234567. */
    static const uint64_t published[] = {
        UINT64_C(6457827717110365317),  UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423),  UINT64_C(4593380528125082431),
        UINT64_C(16408922859458223821),
    };
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        CHECK(quash_rng_word(1234567, i) == published[i]);
    }
    /* Streams, computed apart from the library. */
    CHECK(quash_rng_key(42, 0) == UINT64_C(0xBDD732262FEB6E95));
    CHECK(quash_rng_key(42, 1) == UINT64_C(0x28EFE333B266F103));
    CHECK(quash_rng_key(42, 2) == UINT64_C(0x47526757130F9F52));
    CHECK(quash_rng_key(0, 0) == UINT64_C(0xE220A8397B1DCDAF));
    CHECK(quash_rng_key(UINT64_MAX, UINT64_MAX) == UINT64_C(0xB4D055FCF2CBBD7B));
    const uint64_t key = quash_rng_key(42, 0);
    CHECK(quash_rng_word(key, 0) == UINT64_C(0x57E1FABA65107204));
    CHECK(quash_rng_word(key, 1) == UINT64_C(0xF4ABD143FEB24055));
    CHECK(quash_rng_word(key, 2) == UINT64_C(0x7C816738C12903B2));
    CHECK(quash_rng_word(quash_rng_key(42, 5), UINT64_C(1) << 40) == UINT64_C(0x134045BB7CE9709C));
    CHECK(quash_rng_word(quash_rng_key(UINT64_MAX, UINT64_MAX), UINT64_MAX) ==
          UINT64_C(0x4BFFD802EBFB15E4));
}

/* ---- CRC-32C ----------------------------------------------------------------------------- */

static uint32_t bitwise_crc_from(uint32_t crc, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
        }
    }
    return ~crc;
}

static uint32_t bitwise_crc(const uint8_t *data, size_t size) {
    return bitwise_crc_from(UINT32_MAX, data, size);
}

TEST(crc_has_its_check_values) {
    uint8_t data[32];
    CHECK_EQ(quash_crc32c(0, "123456789", 9), 0xE3069283u);
    CHECK_EQ(quash_crc32c(0, "", 0), 0);
    memset(data, 0, sizeof data);
    CHECK_EQ(quash_crc32c(0, data, 32), 0x8A9136AAu); /* the vectors of RFC 3720 */
    memset(data, 0xFF, sizeof data);
    CHECK_EQ(quash_crc32c(0, data, 32), 0x62A8AB43u);
    for (uint32_t i = 0; i < 32; i++) {
        data[i] = (uint8_t)i;
    }
    CHECK_EQ(quash_crc32c(0, data, 32), 0x46DD794Eu);
    for (uint32_t i = 0; i < 32; i++) {
        data[i] = (uint8_t)(31 - i);
    }
    CHECK_EQ(quash_crc32c(0, data, 32), 0x113FDB5Cu);
}

TEST(crc_continues) {
    uint8_t data[257];
    struct test_rng rng = test_rng_start(1);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)test_word(&rng);
    }
    for (size_t size = 0; size <= sizeof data; size++) {
        CHECK_EQ(quash_crc32c(0, data, size), bitwise_crc(data, size));
        const uint32_t first = quash_crc32c(0, data, size);
        CHECK_EQ(quash_crc32c(first, data + size, sizeof data - size),
                 bitwise_crc(data, sizeof data));
    }
}

/* Every entry of the tables: one byte of eight, on its own. */
TEST(crc_of_every_byte_at_every_place) {
    for (size_t place = 0; place < 8; place++) {
        for (int value = 0; value < 256; value++) {
            uint8_t data[8] = { 0 };
            data[place] = (uint8_t)value;
            CHECK_EQ(quash_crc32c(UINT32_MAX, data, 8), bitwise_crc_from(0, data, 8));
        }
    }
}

/* ---- Memory ------------------------------------------------------------------------------ */

TEST(arena_counts_what_it_carves) {
    static const size_t counts[] = { 0, 1, 3, 64, 65, 1000 };
    static const size_t sizes[] = { 1, 4, 8, 12 };
    struct quash_arena counting = { NULL, 0 };
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            CHECK(quash_arena_take(&counting, counts[c], sizes[s]) == NULL);
        }
    }
    void *block = NULL;
    CHECK_EQ(quash_alloc(&quash_default_allocator, counting.used, "a test", &block), QUASH_OK);
    struct quash_arena carving = { block, 0 };
    size_t end = 0;
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            unsigned char *const piece = quash_arena_take(&carving, counts[c], sizes[s]);
            const size_t at = (size_t)(piece - (unsigned char *)block);
            CHECK_EQ((uintptr_t)piece % QUASH_ALIGNMENT, 0);
            CHECK(at >= end);
            end = at + counts[c] * sizes[s];
            memset(piece, 0x5A, counts[c] * sizes[s]);
        }
    }
    CHECK_EQ(carving.used, counting.used);
    CHECK(end <= counting.used);
    quash_release(&quash_default_allocator, block, counting.used);
}

TEST(allocation_aligns_and_fails_with_a_message) {
    static const size_t sizes[] = { 1, 63, 64, 65, 4097 };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *block = NULL;
        CHECK_EQ(quash_alloc(&quash_default_allocator, sizes[i], "a test", &block), QUASH_OK);
        CHECK(block != NULL && (uintptr_t)block % QUASH_ALIGNMENT == 0);
        memset(block, 1, sizes[i]);
        quash_release(&quash_default_allocator, block, sizes[i]);
    }
    quash_release(&quash_default_allocator, NULL, 10);
    void *block = &block;
    CHECK_FAILS(quash_alloc(&quash_default_allocator, SIZE_MAX, "a test", &block),
                QUASH_ERROR_MEMORY, "cannot allocate 18446744073709551615 bytes for a test");
    CHECK(block == NULL);
    CHECK_FAILS(quash_alloc(&quash_default_allocator, SIZE_MAX - 62, "a test", &block),
                QUASH_ERROR_MEMORY, "cannot allocate 18446744073709551553 bytes for a test");
}

TEST(size_products_are_checked) {
    size_t product = 7;
    CHECK_EQ(quash_size_mul(3, 5, "a test", &product), QUASH_OK);
    CHECK_EQ(product, 15);
    CHECK_EQ(quash_size_mul(SIZE_MAX, 0, "a test", &product), QUASH_OK);
    CHECK_EQ(product, 0);
    CHECK_EQ(quash_size_mul(0, SIZE_MAX, "a test", &product), QUASH_OK);
    CHECK_EQ(product, 0);
    CHECK_EQ(quash_size_mul(SIZE_MAX, 1, "a test", &product), QUASH_OK);
    CHECK(product == SIZE_MAX);
    CHECK_EQ(quash_size_mul(SIZE_MAX / 3, 3, "a test", &product), QUASH_OK);
    CHECK(product == SIZE_MAX / 3 * 3);
    product = 7;
    CHECK_FAILS(quash_size_mul((size_t)1 << 32, (size_t)1 << 32, "a test", &product),
                QUASH_ERROR_MEMORY,
                "4294967296 times 4294967296 bytes for a test exceed the address space");
    CHECK_EQ(quash_size_mul(SIZE_MAX / 3 + 1, 3, "a test", &product), QUASH_ERROR_MEMORY);
    CHECK_EQ(product, 7);
    CHECK_EQ(quash_round_up(0, 64), 0);
    CHECK_EQ(quash_round_up(1, 64), 64);
    CHECK_EQ(quash_round_up(64, 64), 64);
    CHECK_EQ(quash_round_up(65, 64), 128);
}

/* ---- CPU levels -------------------------------------------------------------------------- */

static const char *const level_names[] = { "c", "avx2", "avx512", "neon", "dotprod" };

TEST(cpu_level_is_chosen_by_name) {
    enum quash_cpu_level best = QUASH_CPU_C;
    enum quash_cpu_level level = QUASH_CPU_C;
    CHECK_EQ(quash_cpu_choose(NULL, &best), QUASH_OK);
    CHECK(quash_cpu_supports(best) && quash_cpu_supports(QUASH_CPU_C));
    CHECK_EQ(quash_cpu_choose("", &level), QUASH_OK);
    CHECK(level == best);
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const enum quash_cpu_level named = (enum quash_cpu_level)i;
        CHECK(strcmp(quash_cpu_level_name(named), level_names[i]) == 0);
        if (quash_cpu_supports(named)) {
            CHECK_EQ(quash_cpu_choose(level_names[i], &level), QUASH_OK);
            CHECK(level == named);
        } else {
            char message[128];
            (void)snprintf(message, sizeof message,
                           "QUASH_CPU is \"%s\", which this machine lacks (it has %s)",
                           level_names[i], quash_cpu_level_name(best));
            level = QUASH_CPU_C;
            CHECK_FAILS(quash_cpu_choose(level_names[i], &level), QUASH_ERROR_UNSUPPORTED, message);
            CHECK(level == QUASH_CPU_C);
        }
    }
    /* No machine has both. */
    CHECK(!quash_cpu_supports(QUASH_CPU_NEON) || !quash_cpu_supports(QUASH_CPU_AVX2));
    CHECK_FAILS(quash_cpu_choose("AVX2", &level), QUASH_ERROR_ARGUMENT,
                "QUASH_CPU is \"AVX2\", expected c, avx2, avx512, neon or dotprod");
    CHECK_FAILS(quash_cpu_choose("c ", &level), QUASH_ERROR_ARGUMENT,
                "QUASH_CPU is \"c \", expected c, avx2, avx512, neon or dotprod");
    CHECK_FAILS(quash_cpu_choose("0123456789012345678901234567890123456789", &level),
                QUASH_ERROR_ARGUMENT,
                "QUASH_CPU is \"01234567890123456789012345678901\", expected c, avx2, avx512, "
                "neon or dotprod");
}

TEST(contexts_obey_the_environment) {
    static const char *const names[] = { "QUASH_CPU", "QUASH_THREADS" };
    char before[2][64] = { "", "" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *const set = getenv(names[i]);
        (void)snprintf(before[i], sizeof before[i], "%s", set != NULL ? set : "");
    }
    quash_context *context = NULL;
    (void)setenv("QUASH_CPU", "c", 1);
    (void)setenv("QUASH_THREADS", "5", 1);
    CHECK_EQ(quash_context_create(&context, NULL), QUASH_OK);
    char text[64];
    CHECK_EQ(quash_context_describe(context, text, sizeof text), 27);
    CHECK(strcmp(text, "quash 0.1.0 cpu=c workers=5") == 0);
    CHECK_EQ(quash_context_describe(context, text, 6), 27); /* cut, terminated */
    CHECK(strcmp(text, "quash") == 0);
    CHECK_EQ(quash_context_describe(context, NULL, 0), 27);
    quash_context_free(context);
    context = NULL;
    (void)setenv("QUASH_CPU", "mmx", 1);
    CHECK_FAILS(quash_context_create(&context, NULL), QUASH_ERROR_ARGUMENT,
                "QUASH_CPU is \"mmx\", expected c, avx2, avx512, neon or dotprod");
    CHECK(context == NULL);
    (void)setenv("QUASH_CPU", before[0], 1); /* "" forces nothing */
    (void)setenv("QUASH_THREADS", "0", 1);
    CHECK_FAILS(quash_context_create(&context, NULL), QUASH_ERROR_ARGUMENT,
                "QUASH_THREADS is \"0\", expected 1..1024");
    CHECK(context == NULL);
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT; /* the caller has decided */
    params.threads = 3;
    CHECK_EQ(quash_context_create(&context, &params), QUASH_OK);
    (void)quash_context_describe(context, text, sizeof text);
    CHECK(strstr(text, " workers=3") != NULL);
    quash_context_free(context);
    params.threads = 0;
    params.runner = &quash_serial_runner;
    CHECK_EQ(quash_context_create(&context, &params), QUASH_OK);
    (void)quash_context_describe(context, text, sizeof text);
    CHECK(strstr(text, " workers=1") != NULL);
    quash_context_free(context);
    (void)setenv("QUASH_THREADS", before[1], 1);
}

/* ---- Runner ------------------------------------------------------------------------------ */

struct visits {
    atomic_int seen[1000];
    atomic_int workers[TEST_THREADS_MAX];
    int32_t last_worker;
};

static void visit(void *state, int64_t index, int32_t worker) {
    struct visits *const v = state;
    atomic_fetch_add(&v->seen[index], 1);
    atomic_fetch_add(&v->workers[worker], 1);
}

static void check_visits(const quash_runner *runner, int64_t count) {
    static struct visits v;
    memset(&v, 0, sizeof v);
    quash_run(runner, visit, &v, count);
    for (int64_t i = 0; i < 1000; i++) {
        CHECK_EQ(atomic_load(&v.seen[i]), i < count ? 1 : 0);
    }
    int64_t total = 0;
    for (int32_t w = 0; w < TEST_THREADS_MAX; w++) {
        total += atomic_load(&v.workers[w]);
        CHECK(w < runner->workers || atomic_load(&v.workers[w]) == 0);
    }
    CHECK_EQ(total, count);
}

TEST(runners_visit_every_index_once) {
    static const int64_t counts[] = { 0, 1, 2, 63, 1000 };
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        check_visits(&quash_serial_runner, counts[i]);
        int32_t workers = 1 + (int32_t)i * 3;
        const quash_runner threads = test_threads(&workers);
        check_visits(&threads, counts[i]);
    }
    CHECK_EQ(quash_serial_runner.workers, 1);
}

/* ---- Status ------------------------------------------------------------------------------ */

static void *message_of_other_thread(void *length) {
    *(size_t *)length = strlen(quash_last_message());
    (void)quash_fail(QUASH_ERROR_FORMAT, "of the other thread");
    return NULL;
}

TEST(statuses_have_names_and_messages_are_per_thread) {
    CHECK(strcmp(quash_status_string(QUASH_OK), "ok") == 0);
    CHECK(strcmp(quash_status_string(QUASH_ERROR_ARGUMENT), "argument") == 0);
    CHECK(strcmp(quash_status_string(QUASH_ERROR_UNSUPPORTED), "unsupported") == 0);
    CHECK(strcmp(quash_status_string(QUASH_ERROR_MEMORY), "out of memory") == 0);
    CHECK(strcmp(quash_status_string(QUASH_ERROR_CAPACITY), "capacity") == 0);
    CHECK(strcmp(quash_status_string(QUASH_ERROR_FORMAT), "format") == 0);
    CHECK(strcmp(quash_status_string(QUASH_ERROR_VERSION), "format version") == 0);
    CHECK(strcmp(quash_status_string((quash_status)-99), "unknown status") == 0);
    CHECK_EQ(QUASH_ERROR_VERSION, -6);
    CHECK(strcmp(quash_version_string(), "0.1.0") == 0);
    CHECK_FAILS(quash_fail(QUASH_ERROR_CAPACITY, "%d of %s", 3, "four"), QUASH_ERROR_CAPACITY,
                "3 of four");
    pthread_t thread;
    size_t length = 1;
    CHECK_EQ(pthread_create(&thread, NULL, message_of_other_thread, &length), 0);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(length, 0);
    CHECK(strcmp(quash_last_message(), "3 of four") == 0);
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK_EQ(quash_fail(QUASH_ERROR_FORMAT, "%s", text), QUASH_ERROR_FORMAT);
    CHECK_EQ(strlen(quash_last_message()), 255); /* cut, terminated */
}

int main(void) {
    CHECK(quash_last_message()[0] == '\0');
    RUN(words_are_those_of_splitmix64);
    RUN(crc_has_its_check_values);
    RUN(crc_continues);
    RUN(crc_of_every_byte_at_every_place);
    RUN(arena_counts_what_it_carves);
    RUN(allocation_aligns_and_fails_with_a_message);
    RUN(size_products_are_checked);
    RUN(cpu_level_is_chosen_by_name);
    RUN(contexts_obey_the_environment);
    RUN(runners_visit_every_index_once);
    RUN(statuses_have_names_and_messages_are_per_thread);
    return test_report();
}
