/* SPDX-License-Identifier: Apache-2.0 */
/* os_posix.c: every call of the library to the operating system. */
#include <stdlib.h>

#include "base/os.h"

const char *quash_os_environment(const char *name) {
    return getenv(name);
}
