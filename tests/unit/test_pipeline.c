/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipeline.c: every piece goes through every step once and in order, the first failure of the
 * file is the one reported, and a reader that waits for ever does not keep a failed run alive. */
#define _POSIX_C_SOURCE 200809L
#include "pipeline.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

enum { ROWS = 5, ROW_BYTES = 8, STEPS = 3 };
enum { READ, WORK, WRITE };

/* A file of `rows` rows of 64-bit numbers, the work being to double them. */
struct job {
    int64_t rows;
    int64_t seen[STEPS];    /* rows that each step has had */
    int64_t fail_at[STEPS]; /* the step fails at the piece with this row; -1: never */
    int64_t read_rows;      /* by read */
    int block_at;           /* read waits on pipe_fd at this piece; -1: never */
    int pipe_fds[2];
    int64_t sum; /* of what write sees */
};

static int take(struct job *job, int step, const struct piece *piece, struct tool_error *error) {
    CHECK_EQ(job->seen[step], piece->first);
    job->seen[step] += piece->count;
    if (job->fail_at[step] >= piece->first && job->fail_at[step] < piece->first + ROWS) {
        return tool_fail(error, TOOL_DATA, "step %d, row %d", step, (int)job->fail_at[step]);
    }
    return TOOL_OK;
}

static int read_step(void *user, struct piece *piece, struct tool_error *error) {
    struct job *const job = user;
    int64_t *const numbers = piece->in;
    if (job->block_at >= 0 && piece->first >= (int64_t)job->block_at * ROWS) {
        char byte;
        CHECK_EQ(read(job->pipe_fds[0], &byte, 1), 1);
    }
    const int64_t left = job->rows - piece->first;
    piece->count = left < ROWS ? left : ROWS;
    piece->last = piece->count < ROWS;
    for (int64_t i = 0; i < piece->count; i++) {
        numbers[i] = piece->first + i;
    }
    return take(job, READ, piece, error);
}

static int work_step(void *user, struct piece *piece, struct tool_error *error) {
    const int64_t *const in = piece->in;
    int64_t *const out = piece->out;
    for (int64_t i = 0; i < piece->count; i++) {
        out[i] = 2 * in[i];
    }
    return take(user, WORK, piece, error);
}

static int write_step(void *user, struct piece *piece, struct tool_error *error) {
    struct job *const job = user;
    const int64_t *const out = piece->out;
    for (int64_t i = 0; i < piece->count; i++) {
        job->sum += out[i];
    }
    return take(job, WRITE, piece, error);
}

static void interrupt(void *user) {
    const struct job *const job = user;
    if (job->block_at >= 0) {
        CHECK_EQ(write(job->pipe_fds[1], "", 1), 1);
    }
}

static struct job make_job(int64_t rows) {
    return (struct job){ .rows = rows, .fail_at = { -1, -1, -1 }, .block_at = -1 };
}

static int run(struct job *job, struct tool_error *error) {
    const struct pipeline pipeline = { "name",    job,       ROWS,       ROW_BYTES, ROW_BYTES,
                                       read_step, work_step, write_step, interrupt };
    *error = (struct tool_error){ TOOL_OK, false, "" };
    return pipeline_run(&pipeline, error);
}

TEST(every_row_once) {
    for (int64_t rows = 0; rows < 60; rows++) {
        struct job job = make_job(rows);
        struct tool_error error;
        CHECK_EQ(run(&job, &error), TOOL_OK);
        CHECK_EQ(error.code, TOOL_OK);
        CHECK_EQ(job.sum, rows * (rows - 1));
        for (int step = 0; step < STEPS; step++) {
            CHECK_EQ(job.seen[step], rows);
        }
    }
}

/* Two steps fail at rows of their own: the earlier piece wins, within a piece the earlier step. */
TEST(first_failure_wins) {
    for (int first = 0; first < 35; first += 4) {
        for (int second = 0; second < 35; second += 3) {
            for (int step = 0; step < STEPS; step++) {
                const int other = (step + 1) % STEPS;
                struct job job = make_job(40);
                struct tool_error error;
                char expected[40];
                job.fail_at[step] = first;
                job.fail_at[other] = second;
                const bool is_other =
                    second / ROWS < first / ROWS || (second / ROWS == first / ROWS && other < step);
                (void)snprintf(expected, sizeof expected, "step %d, row %d",
                               is_other ? other : step, is_other ? second : first);
                CHECK_EQ(run(&job, &error), TOOL_DATA);
                CHECK_EQ(strcmp(error.text, expected), 0);
                /* Nothing at or after the failure is written. */
                CHECK(job.seen[WRITE] <= (is_other ? second : first) / ROWS * ROWS + ROWS);
            }
        }
    }
}

TEST(blocked_reader_is_abandoned) {
    for (int step = WORK; step <= WRITE; step++) {
        for (int piece = 1; piece < 4; piece++) {
            struct job job = make_job(1000);
            struct tool_error error;
            if (!CHECK_EQ(pipe(job.pipe_fds), 0)) {
                return;
            }
            job.block_at = piece;
            job.fail_at[step] = 0;
            CHECK_EQ(run(&job, &error), TOOL_DATA);
            CHECK(job.seen[READ] <= (piece + 1) * ROWS);
            (void)close(job.pipe_fds[0]);
            (void)close(job.pipe_fds[1]);
        }
    }
}

TEST(piece_rows) {
    /* 32 MiB of the larger side; one row at least; not much more than the file has. */
    CHECK_EQ(pipeline_piece_rows(256, 36, -1), 131072);
    CHECK_EQ(pipeline_piece_rows(36, 256, 1000000), 131072);
    CHECK_EQ(pipeline_piece_rows(256, 36, 131072), 131072);
    CHECK_EQ(pipeline_piece_rows(256, 36, 10), 11);
    CHECK_EQ(pipeline_piece_rows(256, 36, 0), 1);
    CHECK_EQ(pipeline_piece_rows((size_t)64 << 20, 1, -1), 1);
}

int main(void) {
    RUN(every_row_once);
    RUN(first_failure_wins);
    RUN(blocked_reader_is_abandoned);
    RUN(piece_rows);
    return test_report();
}
