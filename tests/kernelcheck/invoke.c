/* SPDX-License-Identifier: Apache-2.0 */
/* invoke.c: the call of a kernel: its crash is survived and told, and it must leave rounding mode
 * and treatment of denormals as they were.
 *
 * The handler leaves the kernel by siglongjmp, also under the address and undefined-behaviour
 * sanitizers: these let a program replace their own handlers, and let it use memory from mmap. */
#define _DEFAULT_SOURCE /* sigaction */
#include "hostile_state.h"
#include "kernelcheck.h"

#include <setjmp.h>
#include <signal.h>

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

static sigjmp_buf way_out;
static volatile sig_atomic_t calling;
static struct kc_crash last_crash;

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    if (!calling) { /* a mistake of this program itself: die of it */
        (void)signal(number, SIG_DFL);
        return;
    }
    last_crash = (struct kc_crash){ number, info->si_addr };
    siglongjmp(way_out, 1);
}

static sigset_t signal_set(void) {
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        (void)sigaddset(&set, signals[i]);
    }
    return set;
}

void kc_invoke_start(void) {
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        if (sigaction(signals[i], &action, NULL) != 0) {
            printf("cannot handle signal %d\n", signals[i]);
            exit(1);
        }
    }
}

/* Returns false after a crash. Only then is the signal mask restored: to save it each time would be
 * a system call for each call of a kernel. */
static bool survive(const struct quash_kernels *kernels, struct kc_call *call) {
    if (sigsetjmp(way_out, 0) != 0) {
        const sigset_t set = signal_set();
        calling = 0;
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        return false;
    }
    calling = 1;
    call->kernel->invoke(kernels, call);
    calling = 0;
    return true;
}

enum kc_outcome kc_invoke(const struct quash_kernels *kernels, struct kc_call *call,
                          struct kc_crash *crash) {
    const uint64_t state = get_state();
    const bool returned = survive(kernels, call);
    const bool changed = get_state() != state;
    set_state(state);
    if (!returned) {
        *crash = last_crash;
        return KC_CRASHED;
    }
    return changed ? KC_CHANGED_STATE : KC_RETURNED;
}
