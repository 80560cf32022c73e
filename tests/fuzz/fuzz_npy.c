/* SPDX-License-Identifier: Apache-2.0 */
/* needs: tools/read_npy.c tools/npy_header.c tools/read_vecs.c tools/source.c tools/input.c tools/tool.c */
/* fuzz_npy.c: any bytes as a .npy file. Either they are refused with a message, or exactly the
 * promised rows come out and every byte has been read. */
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

/* Few rows at a time, so that small inputs have several pieces. */
static void read_all(struct source *source, size_t size) {
    enum { ROWS = 7 };
    struct tool_error error = { TOOL_OK, false, "" };
    const size_t row_bytes = source_row_bytes(source);
    unsigned char *rows = malloc(ROWS * row_bytes);
    int64_t got = ROWS;
    int code = TOOL_OK;
    require(rows != NULL);
    while (code == TOOL_OK && got == ROWS) {
        code = source_read(source, rows, ROWS, &got, &error);
    }
    if (code == TOOL_OK) {
        require(source->rows_read == source->rows && source->input.offset == (int64_t)size);
    } else {
        check_refusal(&error, code);
    }
    free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* As a file, whose size is known, and as a pipe. */
    for (int pipe = 0; pipe < 2; pipe++) {
        struct tool_error error = { TOOL_OK, false, "" };
        struct input input;
        struct source source;
        input_open_memory(&input, "fuzz.npy", data, size);
        input.is_pipe = pipe != 0;
        const int code = source_open_input(&source, &input, SOURCE_NPY, &error);
        if (code != TOOL_OK) {
            check_refusal(&error, code);
            continue;
        }
        require(source.ndim >= 1 && source.ndim <= 4 && source.rows >= 0);
        require(source.dim >= 1 && source.dim <= QUASH_DIM_MAX);
        read_all(&source, size);
        source_close(&source);
    }
    return 0;
}
