/* SPDX-License-Identifier: Apache-2.0 */
/* status.c: status names and the thread's last message, the only mutable global of the library. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_message[256];

quash_status quash_fail(quash_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(last_message, sizeof last_message, format, arguments);
    va_end(arguments);
    return status;
}

const char *quash_last_message(void) {
    return last_message;
}

const char *quash_status_string(quash_status status) {
    switch (status) {
    case QUASH_OK: return "ok";
    case QUASH_ERROR_ARGUMENT: return "argument";
    case QUASH_ERROR_UNSUPPORTED: return "unsupported";
    case QUASH_ERROR_MEMORY: return "out of memory";
    case QUASH_ERROR_CAPACITY: return "capacity";
    case QUASH_ERROR_FORMAT: return "format";
    case QUASH_ERROR_VERSION: return "format version";
    }
    return "unknown status";
}
