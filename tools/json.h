/* SPDX-License-Identifier: Apache-2.0 */
/* json.h: writes one JSON value to a stream, indented, names and texts escaped. */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include "tool.h"

#include <stdio.h>

struct json {
    FILE *stream;
    int depth;
    bool filled; /* the open object or array has a member already */
};

void json_start(struct json *json, FILE *stream);

/* key is NULL for the outermost value and within arrays. */
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_close_array(struct json *json);
void json_text(struct json *json, const char *key, const char *value);
void json_int(struct json *json, const char *key, int64_t value);
void json_u64(struct json *json, const char *key, uint64_t value);

/* 10 significant digits; NaN and infinity, which JSON lacks, become null. */
void json_real(struct json *json, const char *key, double value);

#endif
