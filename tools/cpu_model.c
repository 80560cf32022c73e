/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_model.c: the name of this machine's CPU, for the head of a report with times. */
#include "tool.h"

#include <stdio.h>
#include <string.h>

/* The value of "key : value\n", or NULL. */
static char *value_of(char *line, const char *key) {
    const size_t length = strlen(key);
    if (strncmp(line, key, length) != 0) {
        return NULL;
    }
    char *const colon = strchr(line + length, ':');
    char *const end = strchr(line, '\n');
    if (colon == NULL || end == NULL) {
        return NULL;
    }
    *end = '\0';
    return colon + 1 + strspn(colon + 1, " \t");
}

void tool_cpu_model(char *text, size_t size) {
    (void)snprintf(text, size, "unknown");
    FILE *const file = fopen("/proc/cpuinfo", "r");
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *const name = value_of(line, "model name");
        if (name != NULL) {
            (void)snprintf(text, size, "%.*s", (int)size - 1, name);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}
