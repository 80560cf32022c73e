/* SPDX-License-Identifier: Apache-2.0 */
/* json.c: JSON with indentation. File names are bytes of any kind and JSON is UTF-8: what is not
 * UTF-8 becomes the replacement character. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "json.h"

#include <inttypes.h>

void json_start(struct json *json, FILE *stream) {
    *json = (struct json){ stream, 0, false };
}

/* Length of the UTF-8 character at text, 0 when there is none: overlong forms, surrogates and
 * numbers beyond U+10FFFF included. */
static int utf8_length(const unsigned char *text) {
    const unsigned char a = text[0];
    if (a < 0x80) {
        return 1;
    }
    int length = 0;
    if (a >= 0xc2 && a <= 0xdf) {
        length = 2;
    } else if ((a & 0xf0) == 0xe0) {
        length = 3;
    } else if (a >= 0xf0 && a <= 0xf4) {
        length = 4;
    }
    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((a == 0xe0 && text[1] < 0xa0) || (a == 0xed && text[1] > 0x9f) ||
        (a == 0xf0 && text[1] < 0x90) || (a == 0xf4 && text[1] > 0x8f)) {
        return 0;
    }
    return length;
}

static void write_text(const struct json *json, const char *value) {
    const unsigned char *text = (const unsigned char *)value;
    (void)fputc('"', json->stream);
    while (*text != '\0') {
        const int length = utf8_length(text);
        if (length == 0) {
            (void)fputs("\\ufffd", json->stream);
            text++;
        } else if (*text == '"' || *text == '\\') {
            fprintf(json->stream, "\\%c", *text++);
        } else if (*text < 0x20 || *text == 0x7f) {
            fprintf(json->stream, "\\u%04x", (unsigned)*text++);
        } else {
            text += fwrite(text, 1, (size_t)length, json->stream);
            if (ferror(json->stream)) {
                break;
            }
        }
    }
    (void)fputc('"', json->stream);
}

static void start_line(const struct json *json) {
    fprintf(json->stream, "\n%*s", 2 * json->depth, "");
}

/* What stands before every value: the comma of its predecessor, a new line, its key. */
static void start_value(struct json *json, const char *key) {
    if (json->filled) {
        (void)fputc(',', json->stream);
    }
    if (json->depth > 0) {
        start_line(json);
    }
    if (key != NULL) {
        write_text(json, key);
        (void)fputs(": ", json->stream);
    }
    json->filled = true;
}

static void open_value(struct json *json, const char *key, char bracket) {
    start_value(json, key);
    (void)fputc(bracket, json->stream);
    json->depth++;
    json->filled = false;
}

static void close_value(struct json *json, char bracket) {
    json->depth--;
    if (json->filled) {
        start_line(json);
    }
    (void)fputc(bracket, json->stream);
    if (json->depth == 0) {
        (void)fputc('\n', json->stream);
    }
    json->filled = true;
}

void json_object(struct json *json, const char *key) {
    open_value(json, key, '{');
}

void json_array(struct json *json, const char *key) {
    open_value(json, key, '[');
}

void json_close_object(struct json *json) {
    close_value(json, '}');
}

void json_close_array(struct json *json) {
    close_value(json, ']');
}

void json_text(struct json *json, const char *key, const char *value) {
    start_value(json, key);
    write_text(json, value);
}

void json_int(struct json *json, const char *key, int64_t value) {
    start_value(json, key);
    fprintf(json->stream, "%" PRId64, value);
}

void json_u64(struct json *json, const char *key, uint64_t value) {
    start_value(json, key);
    fprintf(json->stream, "%" PRIu64, value);
}

void json_real(struct json *json, const char *key, double value) {
    start_value(json, key);
    if (isfinite(value)) {
        /* Whole numbers in full: counts of bytes come as reals too. */
        const bool whole = fabs(value) < 1e15 && value == floor(value);
        fprintf(json->stream, whole ? "%.0f" : "%.10g", value);
    } else {
        (void)fputs("null", json->stream);
    }
}
