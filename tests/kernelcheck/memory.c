/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: the arrays of a call lie in memory that ends in inaccessible pages on both sides, so
 * that a kernel which reads beyond an array faults; canaries between array and page notice writes
 * that do not reach the page. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "kernelcheck.h"

#include <sys/mman.h>
#include <unistd.h>

#define CANARY_BYTES 256

/* Accessible bytes between two guard pages. */
struct region {
    unsigned char *start;
    unsigned char *end;
};

static struct region regions[KC_ARRAYS_MAX];
static unsigned char *contents[KC_ARRAYS_MAX][2];
static unsigned char canary[CANARY_BYTES];

static struct region map_region(size_t page) {
    const size_t inside = (KC_ARRAY_BYTES_MAX + CANARY_BYTES + KC_OFFSETS + page - 1) / page * page;
    unsigned char *const whole =
        mmap(NULL, inside + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct region region = { whole + page, whole + page + inside };
    if (whole == MAP_FAILED || mprotect(whole, page, PROT_NONE) != 0 ||
        mprotect(region.end, page, PROT_NONE) != 0) {
        printf("cannot map guarded memory\n");
        exit(1);
    }
    return region;
}

void kc_memory_start(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < KC_ARRAYS_MAX; i++) {
        regions[i] = map_region(page);
        contents[i][0] = test_alloc(KC_ARRAY_BYTES_MAX);
        contents[i][1] = test_alloc(KC_ARRAY_BYTES_MAX);
    }
    for (size_t i = 0; i < CANARY_BYTES; i++) {
        canary[i] = (unsigned char)(i * 37 + 11);
    }
}

void kc_memory_of(size_t i, struct kc_array *array) {
    array->before = contents[i][0];
    array->after = contents[i][1];
}

void kc_place(struct kc_array *array, size_t i, bool at_end, size_t offset) {
    array->at_end = at_end;
    array->at = at_end ? regions[i].end - array->bytes : regions[i].start + offset;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t canary_in_front(const struct kc_array *array, size_t i) {
    return smaller(CANARY_BYTES, (size_t)(array->at - regions[i].start));
}

static size_t canary_behind(const struct kc_array *array, size_t i) {
    return smaller(CANARY_BYTES, (size_t)(regions[i].end - array->at) - array->bytes);
}

void kc_restore(const struct kc_array *array, size_t i) {
    const size_t in_front = canary_in_front(array, i);
    memcpy(array->at - in_front, canary, in_front);
    memcpy(array->at, array->before, array->bytes);
    memcpy(array->at + array->bytes, canary, canary_behind(array, i));
}

bool kc_canary_changed(const struct kc_array *array, size_t i, long *position) {
    const size_t in_front = canary_in_front(array, i);
    const size_t behind = canary_behind(array, i);
    const unsigned char *const sides[2] = { array->at - in_front, array->at + array->bytes };
    const size_t sizes[2] = { in_front, behind };
    for (size_t side = 0; side < 2; side++) {
        if (memcmp(sides[side], canary, sizes[side]) != 0) {
            const unsigned char *byte = sides[side];
            while (*byte == canary[byte - sides[side]]) {
                byte++;
            }
            *position = (long)(byte - array->at);
            return true;
        }
    }
    return false;
}

void kc_describe_address(const struct kc_call *call, const void *address, char *text,
                         size_t bytes) {
    const uintptr_t at = (uintptr_t)address;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < call->array_count; i++) {
        const struct kc_array *const array = &call->arrays[i];
        const uintptr_t start = (uintptr_t)regions[i].start;
        const uintptr_t end = (uintptr_t)regions[i].end;
        if ((at < start && start - at <= page) || (at >= end && at - end < page)) {
            (void)snprintf(text, bytes, "at byte %" PRIdPTR " of %s, which has %zu",
                           (intptr_t)(at - (uintptr_t)array->at), array->name, array->bytes);
            return;
        }
    }
    (void)snprintf(text, bytes, "at address %p", address);
}
