/* SPDX-License-Identifier: Apache-2.0 */
/* needs: tools/read_npy.c tools/npy_header.c tools/read_vecs.c tools/source.c tools/input.c tools/tool.c */
/* fuzz_vecs.c: any bytes as a .fvecs file (first byte even) or a .bvecs file (odd) of the bytes
 * that follow. Either they are refused with a message, or all bytes are rows of one dim. */
#include "source.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition) {
        abort();
    }
}

static void check_refusal(const struct tool_error *error, int code) {
    require(code == TOOL_DATA && error->code == code && error->text[0] != '\0');
}

/* Rows must be the bytes of the file without the dims. */
static void check_rows(const struct source *source, const unsigned char *rows, int64_t got,
                       const uint8_t *data) {
    const size_t row_bytes = source_row_bytes(source);
    const int64_t first = source->rows_read - got;
    for (int64_t i = 0; i < got; i++) {
        const uint8_t *record = data + (size_t)(first + i) * (row_bytes + 4);
        require(memcmp(rows + (size_t)i * row_bytes, record + 4, row_bytes) == 0);
    }
}

static void read_all(struct source *source, const uint8_t *data, size_t size) {
    enum { ROWS = 3 };
    struct tool_error error = { TOOL_OK, false, "" };
    const size_t row_bytes = source_row_bytes(source);
    unsigned char *rows = malloc(ROWS * row_bytes);
    int64_t got = ROWS;
    int code = TOOL_OK;
    require(rows != NULL);
    while (code == TOOL_OK && got == ROWS) {
        code = source_read(source, rows, ROWS, &got, &error);
        check_rows(source, rows, got, data);
    }
    if (code == TOOL_OK) {
        require(source->rows_read * (int64_t)(row_bytes + 4) == (int64_t)size);
        require(source->rows < 0 || source->rows == source->rows_read);
    } else {
        check_refusal(&error, code);
    }
    free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const enum source_format format = data[0] % 2 == 0 ? SOURCE_FVECS : SOURCE_BVECS;
    for (int pipe = 0; pipe < 2; pipe++) {
        struct tool_error error = { TOOL_OK, false, "" };
        struct input input;
        struct source source;
        input_open_memory(&input, "fuzz", data + 1, size - 1);
        input.is_pipe = pipe != 0;
        const int code = source_open_input(&source, &input, format, &error);
        if (code != TOOL_OK) {
            check_refusal(&error, code);
            continue;
        }
        require(source.dim >= 1 && source.dim <= QUASH_DIM_MAX);
        read_all(&source, data + 1, size - 1);
        source_close(&source);
    }
    return 0;
}
