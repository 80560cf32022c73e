/* SPDX-License-Identifier: Apache-2.0 */
/* kernelcheck.h: what the files of kernelcheck share. The program compares every entry of the
 * kernel table, at every CPU level of this machine, with the C reference.
 *
 * A kernel is described once (struct kc_kernel): `plan` says which arrays a call of size n has and
 * fills them, `invoke` makes the call. The rest is the same for all: arrays are placed between
 * guard pages (memory.c), the call is made with crashes caught (invoke.c), and what it left behind
 * is compared (check.c, report.c); bench.c times the same calls. */
#ifndef QUASH_KERNELCHECK_H
#define QUASH_KERNELCHECK_H

#include <inttypes.h>

#include "support.h"

#include "kernel/kernel.h"

/* ---- A call of a kernel ------------------------------------------------------------------ */

/* What the inputs hold. Codes and bytes have fewer kinds of values than floats, see data.c. */
enum kc_data {
    KC_GAUSSIAN,
    KC_BITS, /* any finite number */
    KC_WIDE, /* Gaussian times 2^-20 to 2^20 */
    KC_ZEROS,
    KC_DENORMALS,
    KC_HUGE,
    KC_ALTERNATING,
    KC_ONE_HOT,
    KC_CONSTANT,
    KC_SPECIAL, /* values at which the kernel changes course: thresholds, ties, every code */
    KC_DATA_KINDS
};
#define KC_SET(data) (1u << (data))
#define KC_ALL_DATA ((1u << KC_DATA_KINDS) - 1u)

#define KC_ARRAYS_MAX 8
#define KC_ARRAY_BYTES_MAX ((size_t)1 << 18)
#define KC_OFFSETS 64 /* bytes: every misalignment towards a cache line */

enum kc_role { KC_IN, KC_OUT, KC_INOUT };

struct kc_array {
    const char *name;
    enum kc_role role;
    bool floats;           /* compared as numbers of which any NaN is like any other */
    size_t element_bytes;  /* unit in which differences are reported */
    size_t alignment;      /* that the contract asks for: its addresses are multiples of it */
    size_t bytes;          /* in all */
    unsigned char *before; /* contents before the call */
    unsigned char *after;  /* contents after the call of the reference */
    unsigned char *at;     /* where the kernel sees the array */
    bool at_end;           /* at the guard page behind rather than near the one in front */
};

/* What the function returned; numbers as bits, so that zeros have signs. */
struct kc_result {
    uint32_t number;
    int64_t count;
};

struct kc_call {
    const struct kc_kernel *kernel;
    size_t entry;
    /* Given to plan */
    size_t n;
    enum kc_data data;
    size_t repeat; /* 0, 1, ... of calls with the same n and data */
    bool bench;    /* ordinary data of an ordinary shape that calls in a row do not wear out */
    uint64_t number;
    struct test_rng rng;
    /* Set by plan, as far as the kernel has them */
    int32_t bits;
    int32_t half;
    size_t rows;
    size_t queries;
    size_t stride;
    float factor;
    size_t terms;   /* of each sum of an approximate kernel */
    size_t touched; /* bytes that bench counts; 0: all of the arrays */
    struct kc_array arrays[KC_ARRAYS_MAX];
    size_t array_count;
    /* Set by invoke */
    struct kc_result result;
};

/* Adds an array, for plan. Returns its contents before the call: zeros to be filled, or what a
 * kernel that forgets to write would leave in an output. */
void *kc_add_array(struct kc_call *call, const char *name, enum kc_role role, size_t element_bytes,
                   size_t alignment, size_t count);

/* The same for floats, and inputs are filled with the data of the call. */
float *kc_add_floats(struct kc_call *call, const char *name, enum kc_role role, size_t count);

/* The 16 integers of call->bits: of the codebook, or others up to 63 (32 below 4 bits); those beyond
 * the codes are arbitrary. */
int8_t *kc_add_integers(struct kc_call *call);

static inline void *kc_at(const struct kc_call *call, size_t array) {
    return call->arrays[array].at;
}

/* ---- Kernels: one descriptor each -------------------------------------------------------- */

/* 0, unit, 2 * unit, ... (dense of them), then those of the list. */
struct kc_sizes {
    size_t unit;
    size_t dense;
    const size_t *more;
    size_t more_count;
};

struct kc_kernel {
    const char *name;
    size_t offset; /* of the first function in struct quash_kernels */
    size_t slots;  /* functions in the table */
    /* Endings of the name: one per function, or, when there is one function only, one per setting
     * that is checked by itself. NULL: the name alone. */
    const char *const *labels;
    size_t entries; /* number of labels, or 1 */
    const struct kc_sizes *sizes;
    uint32_t data; /* set of kc_data */
    void (*plan)(struct kc_call *call);
    void (*invoke)(const struct quash_kernels *kernels, struct kc_call *call);
    /* Approximate zone only: for each element of the last array the result in double, and the sum
     * of the magnitudes of its terms; 0 where the exact value is a must. */
    void (*oracle)(const struct kc_call *call, double *exact, double *magnitude);
    const char *bench_note; /* the shape that bench times, where n does not say it all */
    size_t bench_sizes[3];
};

/* The offset and the slots of a member of struct quash_kernels. */
#define KC_SLOTS(member)                                                                           \
    .offset = offsetof(struct quash_kernels, member),                                              \
    .slots = sizeof(((struct quash_kernels *)NULL)->member) / sizeof(void (*)(void))

/* All descriptors, in registry.c. */
extern const struct kc_kernel *const kc_kernels[];
extern const size_t kc_kernel_count;

#define KC_NAME_BYTES 32
/* "pack_3"; returns name. */
const char *kc_entry_name(const struct kc_kernel *kernel, size_t entry, char name[KC_NAME_BYTES]);

/* Whether two tables have different functions for an entry. */
bool kc_differs(const struct quash_kernels *a, const struct quash_kernels *b,
                const struct kc_kernel *kernel, size_t entry);

/* Number of the first function of struct quash_kernels that not exactly one of the descriptors
 * covers; -1 when there is none. */
long kc_find_uncovered(const struct kc_kernel *const *kernels, size_t count);

size_t kc_size_count(const struct kc_sizes *sizes);
size_t kc_size(const struct kc_sizes *sizes, size_t i);

/* ---- Inputs (data.c) --------------------------------------------------------------------- */

void kc_fill_floats(struct test_rng *rng, enum kc_data data, float *x, size_t n);

/* Numbers below limit <= 256. */
void kc_fill_codes(struct test_rng *rng, enum kc_data data, uint8_t *codes, size_t n, size_t limit);

/* A finite factor, often an ordinary one. */
float kc_factor(struct test_rng *rng);

float kc_random_finite(struct test_rng *rng);
const char *kc_data_name(enum kc_data data);

/* ---- Memory (memory.c) ------------------------------------------------------------------- */

/* Maps the arrays' memory; must come first. */
void kc_memory_start(void);

/* Memory of array number i for its contents before and after a call. */
void kc_memory_of(size_t i, struct kc_array *array);

/* Offset from the guard page in front, or the end at the guard page behind. */
void kc_place(struct kc_array *array, size_t i, bool at_end, size_t offset);

/* Writes the contents before the call, and canaries on both sides. */
void kc_restore(const struct kc_array *array, size_t i);

/* Whether a byte on either side changed; *position is the first one's, from the array's start. */
bool kc_canary_changed(const struct kc_array *array, size_t i, long *position);

/* Where the address of a crash lies: "at byte 4 of x, which has 4" when in a guard page. */
void kc_describe_address(const struct kc_call *call, const void *address, char *text, size_t bytes);

/* ---- Calls (invoke.c) -------------------------------------------------------------------- */

enum kc_outcome { KC_RETURNED, KC_CRASHED, KC_CHANGED_STATE };

struct kc_crash {
    int signal;
    const void *address;
};

/* Installs the handlers of crashes. */
void kc_invoke_start(void);

/* Calls the kernel, survives its crash, restores a floating-point state it left changed. */
enum kc_outcome kc_invoke(const struct quash_kernels *kernels, struct kc_call *call,
                          struct kc_crash *crash);

/* ---- Checks (check.c, report.c) ---------------------------------------------------------- */

enum kc_failure {
    KC_DIFFERS,    /* not the reference's output or result; approximate zone: beyond all rounding */
    KC_INACCURATE, /* approximate zone: more than twice the error of the reference */
    KC_WRITES_BEYOND, /* a canary changed */
    KC_CHANGES_INPUT,
    KC_CRASHES, /* reads or writes beyond as far as the guard page, or any other signal */
    KC_CHANGES_FLOAT_STATE,
    KC_FAILURES
};

/* One function of one table against the one of the reference. */
struct kc_subject {
    const struct kc_kernel *kernel;
    size_t entry;
    const struct quash_kernels *reference;
    const struct quash_kernels *candidate;
    const char *level;
    uint64_t seed;
    FILE *out; /* NULL: counts only */
    long calls;
    long failures;
    long by_kind[KC_FAILURES];
};

/* Makes all calls; stops early after a few failures. When candidate is reference itself, what
 * remains is checked: memory, inputs, floating-point state, the bound of approximate kernels. */
void kc_check(struct kc_subject *subject);

/* Failures after which a subject is given up. */
#define KC_FAILURES_MAX 6

/* Counts a failure and prints its line. */
void kc_fail(struct kc_subject *subject, const struct kc_call *call, enum kc_failure kind,
             const char *format, ...) __attribute__((format(printf, 4, 5)));

/* After any call: canaries and inputs must be as they were. */
void kc_check_surroundings(struct kc_subject *subject, const struct kc_call *call);

/* Compares the last call of the candidate with the reference's arrays and result. */
void kc_compare(struct kc_subject *subject, const struct kc_call *call,
                const struct kc_result *expected);

/* Squared relative errors, summed over calls with the same kind of data. */
struct kc_pool {
    double reference;
    double candidate;
};

/* Approximate zone: adds the errors of the last call to the pool and checks each element's bound;
 * then, after the calls of a pool, the rule. */
void kc_compare_approximate(struct kc_subject *subject, const struct kc_call *call,
                            struct kc_pool *pool);
void kc_check_pool(struct kc_subject *subject, const struct kc_call *call,
                   const struct kc_pool *pool);

/* ---- Programs ---------------------------------------------------------------------------- */

struct kc_options {
    bool bench;
    bool json;
    bool list;
    bool self_test;
    bool help;
    const char *function;       /* NULL: all */
    const char *cpu;            /* NULL: all */
    enum quash_cpu_level level; /* of cpu */
    uint64_t seed;
};

/* Whether the options select this kernel. */
bool kc_selects(const struct kc_options *options, const char *name);

/* Returns 0, or 2 after an error message. */
int kc_parse(int argc, char **argv, struct kc_options *options);
void kc_print_help(void);

/* Times what the options select; JSON or a table to stdout. */
void kc_bench(const struct kc_options *options);

/* Plants wrong kernels and demands that each is found. Returns the exit code. */
int kc_self_test(uint64_t seed);

/* The level below, whose table a level's table overlays; C for C. */
enum quash_cpu_level kc_level_below(enum quash_cpu_level level);

#endif
