/* SPDX-License-Identifier: Apache-2.0 */
/* npy_header.c: understands the header of a .npy file, a Python dictionary literal such as
 * {'descr': '<f4', 'fortran_order': False, 'shape': (1000, 128), }
 * in any order of keys and with any spacing, and nothing else that Python would allow. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "npy_header.h"

#include <string.h>

/* The header's text and how far it has been understood. */
struct header {
    const char *name; /* of the file */
    const char *text; /* terminated by 0 */
    size_t length;
    size_t at;
    int64_t file_offset; /* of text[0] */
    struct tool_error *error;
};

static int bad_header(const struct header *header, const char *expected) {
    char found[24];
    size_t length = header->length - header->at;
    length = length < sizeof found - 1 ? length : sizeof found - 1;
    memcpy(found, header->text + header->at, length);
    found[length] = '\0';
    length = strlen(found);
    while (length > 0 && strchr(" \t\r\n", found[length - 1]) != NULL) {
        found[--length] = '\0';
    }
    return tool_fail(header->error, TOOL_DATA, "%s: .npy header, byte %lld: found %s, expected %s",
                     header->name, (long long)(header->file_offset + (int64_t)header->at),
                     length > 0 ? found : "nothing", expected);
}

static void skip_spaces(struct header *header) {
    while (header->at < header->length && strchr(" \t\n\r", header->text[header->at]) != NULL) {
        header->at++;
    }
}

/* Steps over c if it is next. */
static bool accept(struct header *header, char c) {
    skip_spaces(header);
    if (header->at < header->length && header->text[header->at] == c) {
        header->at++;
        return true;
    }
    return false;
}

/* A quoted string without escapes. */
static int parse_string(struct header *header, char *out, size_t size, const char *expected) {
    skip_spaces(header);
    const char quote = header->text[header->at];
    if (quote != '\'' && quote != '"') {
        return bad_header(header, expected);
    }
    const char *start = header->text + header->at + 1;
    const char *end = strchr(start, quote);
    if (end == NULL || (size_t)(end - start) >= size) {
        return bad_header(header, expected);
    }
    memcpy(out, start, (size_t)(end - start));
    out[end - start] = '\0';
    header->at += (size_t)(end - start) + 2;
    return TOOL_OK;
}

/* A size; NumPy under Python 2 wrote an L behind it. */
static int parse_size(struct header *header, int64_t *out) {
    skip_spaces(header);
    const size_t start = header->at;
    int64_t value = 0;
    while (header->text[header->at] >= '0' && header->text[header->at] <= '9') {
        const int digit = header->text[header->at] - '0';
        if (value > (INT64_MAX - digit) / 10) {
            header->at = start;
            return bad_header(header, "a size below 2^63");
        }
        value = 10 * value + digit;
        header->at++;
    }
    if (header->at == start) {
        return bad_header(header, "a size that is a whole number, 0 or more");
    }
    if (header->text[header->at] == 'L') {
        header->at++;
    }
    *out = value;
    return TOOL_OK;
}

static int parse_shape(struct header *header, struct npy_description *out) {
    skip_spaces(header);
    const size_t start = header->at;
    if (!accept(header, '(')) {
        return bad_header(header, "a shape such as (1000, 128)");
    }
    out->ndim = 0;
    while (!accept(header, ')')) {
        if (out->ndim == 4) {
            header->at = start;
            return bad_header(header, "a shape of 1 to 4 dimensions");
        }
        const int code = parse_size(header, &out->shape[out->ndim]);
        if (code != TOOL_OK) {
            return code;
        }
        out->ndim++;
        if (!accept(header, ',') && header->text[header->at] != ')') {
            return bad_header(header, "',' or ')'");
        }
    }
    if (out->ndim == 0) {
        header->at = start;
        return bad_header(header, "a shape of 1 to 4 dimensions");
    }
    return TOOL_OK;
}

static int parse_order(struct header *header, struct npy_description *out) {
    skip_spaces(header);
    if (strncmp(header->text + header->at, "False", 5) == 0) {
        out->fortran_order = false;
        header->at += 5;
    } else if (strncmp(header->text + header->at, "True", 4) == 0) {
        out->fortran_order = true;
        header->at += 4;
    } else {
        return bad_header(header, "True or False");
    }
    return TOOL_OK;
}

/* The value of key, which stands at start. */
static int parse_value(struct header *header, const char *key, size_t start,
                       struct npy_description *out) {
    if (strcmp(key, "descr") == 0 && !out->have_descr) {
        out->have_descr = true;
        return parse_string(header, out->descr, sizeof out->descr,
                            "a dtype such as '<f4' (records are not supported)");
    }
    if (strcmp(key, "fortran_order") == 0 && !out->have_order) {
        out->have_order = true;
        return parse_order(header, out);
    }
    if (strcmp(key, "shape") == 0 && !out->have_shape) {
        out->have_shape = true;
        return parse_shape(header, out);
    }
    header->at = start;
    return bad_header(header, "each of 'descr', 'fortran_order' and 'shape' once");
}

static int parse_dictionary(struct header *header, struct npy_description *out) {
    memset(out, 0, sizeof *out);
    if (!accept(header, '{')) {
        return bad_header(header, "'{'");
    }
    while (!accept(header, '}')) {
        char key[20];
        skip_spaces(header);
        const size_t start = header->at;
        int code = parse_string(header, key, sizeof key, "'descr', 'fortran_order' or 'shape'");
        if (code == TOOL_OK && !accept(header, ':')) {
            code = bad_header(header, "':'");
        }
        if (code == TOOL_OK) {
            code = parse_value(header, key, start, out);
        }
        if (code != TOOL_OK) {
            return code;
        }
        if (!accept(header, ',') && header->text[header->at] != '}') {
            return bad_header(header, "',' or '}'");
        }
    }
    skip_spaces(header);
    if (header->at != header->length) {
        return bad_header(header, "spaces to the end of the header");
    }
    if (!out->have_descr || !out->have_order || !out->have_shape) {
        return bad_header(header, "'descr', 'fortran_order' and 'shape' before it");
    }
    return TOOL_OK;
}

int npy_parse_header(const char *name, const char *text, size_t length, int64_t offset,
                     struct npy_description *out, struct tool_error *error) {
    struct header header = { name, text, length, 0, offset, error };
    if (memchr(text, '\0', length) != NULL) {
        header.at = strlen(text);
        return bad_header(&header, "text (this is a zero byte)");
    }
    return parse_dictionary(&header, out);
}
