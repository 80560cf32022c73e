/* SPDX-License-Identifier: Apache-2.0 */
/* os_posix.c: every call of the library to the operating system. */
#include <stdlib.h>

#include "base/os.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAS_DOTPROD ((getauxval(AT_HWCAP) >> 20 & 1u) != 0) /* HWCAP_ASIMDDP */
#else
#define HAS_DOTPROD 0
#endif

const char *quash_os_environment(const char *name) {
    return getenv(name);
}

int quash_os_has_dotprod(void) {
    return HAS_DOTPROD;
}
