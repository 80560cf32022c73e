/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.c: three steps on three threads, handing a ring of pieces to one another. A failure
 * travels with its piece to the last step, which sees the pieces in order: so the first failure in
 * the file is the one that is reported. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "pipeline.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 3, PIECE_BYTES = 32 << 20 };
enum step { STEP_READ, STEP_WORK, STEP_WRITE, STEPS };

struct slot {
    struct piece piece;
    enum step step; /* whose turn it is; that thread alone touches the slot */
    struct tool_error error;
};

struct run {
    const struct pipeline *pipeline;
    pthread_mutex_t mutex; /* of step and stop */
    pthread_cond_t changed;
    bool stop;
    struct slot slots[PIECES];
    struct tool_error *error; /* the caller's; filled by the last step */
};

int64_t pipeline_piece_rows(size_t in_row_bytes, size_t out_row_bytes, int64_t rows) {
    const size_t larger = in_row_bytes > out_row_bytes ? in_row_bytes : out_row_bytes;
    const int64_t most = larger < PIECE_BYTES ? (int64_t)(PIECE_BYTES / larger) : 1;
    /* One more than a small file has, so that its first piece is known to be the last. */
    return rows >= 0 && rows < most ? rows + 1 : most;
}

/* Waits for the step's turn at the slot; false when the run is over. */
static bool await_turn(struct run *run, const struct slot *slot, enum step step) {
    (void)pthread_mutex_lock(&run->mutex);
    while (!run->stop && slot->step != step) {
        (void)pthread_cond_wait(&run->changed, &run->mutex);
    }
    const bool go_on = !run->stop;
    (void)pthread_mutex_unlock(&run->mutex);
    return go_on;
}

static void hand_on(struct run *run, struct slot *slot, enum step next) {
    (void)pthread_mutex_lock(&run->mutex);
    slot->step = next;
    (void)pthread_cond_broadcast(&run->changed);
    (void)pthread_mutex_unlock(&run->mutex);
}

static void stop(struct run *run) {
    (void)pthread_mutex_lock(&run->mutex);
    run->stop = true;
    (void)pthread_cond_broadcast(&run->changed);
    (void)pthread_mutex_unlock(&run->mutex);
}

static void *read_pieces(void *argument) {
    struct run *const run = argument;
    int64_t first = 0;
    for (int i = 0; await_turn(run, &run->slots[i], STEP_READ); i = (i + 1) % PIECES) {
        struct slot *const slot = &run->slots[i];
        slot->piece.first = first;
        slot->piece.count = 0;
        slot->piece.last = false;
        (void)run->pipeline->read(run->pipeline->user, &slot->piece, &slot->error);
        first += slot->piece.count;
        const bool over = slot->piece.last || slot->error.code != TOOL_OK;
        hand_on(run, slot, STEP_WORK);
        if (over) {
            break;
        }
    }
    return NULL;
}

static void work_on_pieces(struct run *run) {
    for (int i = 0; await_turn(run, &run->slots[i], STEP_WORK); i = (i + 1) % PIECES) {
        struct slot *const slot = &run->slots[i];
        if (slot->error.code == TOOL_OK) {
            (void)run->pipeline->work(run->pipeline->user, &slot->piece, &slot->error);
        }
        const bool over = slot->piece.last || slot->error.code != TOOL_OK;
        hand_on(run, slot, STEP_WRITE);
        if (over) {
            break;
        }
    }
}

static void *write_pieces(void *argument) {
    struct run *const run = argument;
    for (int i = 0; await_turn(run, &run->slots[i], STEP_WRITE); i = (i + 1) % PIECES) {
        struct slot *const slot = &run->slots[i];
        if (slot->error.code == TOOL_OK) {
            (void)run->pipeline->write(run->pipeline->user, &slot->piece, &slot->error);
        }
        if (slot->piece.last || slot->error.code != TOOL_OK) {
            *run->error = slot->error;
            stop(run);
            break;
        }
        hand_on(run, slot, STEP_READ);
    }
    return NULL;
}

static int fail_thread(const struct pipeline *pipeline, int number, struct tool_error *error) {
    return tool_fail_errno(error, pipeline->name, "cannot start a thread", number);
}

static int run_steps(struct run *run, struct tool_error *error) {
    pthread_t reader;
    pthread_t writer;
    int number = pthread_create(&reader, NULL, read_pieces, run);
    if (number != 0) {
        return fail_thread(run->pipeline, number, error);
    }
    number = pthread_create(&writer, NULL, write_pieces, run);
    if (number == 0) {
        work_on_pieces(run);
        (void)pthread_join(writer, NULL);
    }
    if (number != 0 || error->code != TOOL_OK) { /* else the reader has come to its end */
        stop(run);
        run->pipeline->interrupt(run->pipeline->user);
    }
    (void)pthread_join(reader, NULL);
    return number != 0 ? fail_thread(run->pipeline, number, error) : error->code;
}

static int take_buffers(struct run *run, struct tool_error *error) {
    const struct pipeline *const pipeline = run->pipeline;
    for (int i = 0; i < PIECES; i++) {
        struct piece *const piece = &run->slots[i].piece;
        piece->in = malloc((size_t)pipeline->piece_rows * pipeline->in_row_bytes);
        piece->out = malloc((size_t)pipeline->piece_rows * pipeline->out_row_bytes);
        if (piece->in == NULL || piece->out == NULL) {
            return tool_fail_memory(error, pipeline->name);
        }
    }
    return TOOL_OK;
}

int pipeline_run(const struct pipeline *pipeline, struct tool_error *error) {
    struct run run = { .pipeline = pipeline,
                       .mutex = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER,
                       .error = error };
    int code = take_buffers(&run, error);
    if (code == TOOL_OK) {
        code = run_steps(&run, error);
    }
    for (int i = 0; i < PIECES; i++) {
        free(run.slots[i].piece.in);
        free(run.slots[i].piece.out);
    }
    (void)pthread_cond_destroy(&run.changed);
    (void)pthread_mutex_destroy(&run.mutex);
    return code;
}
