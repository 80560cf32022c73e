/* SPDX-License-Identifier: Apache-2.0 */
/* report.h: figures for a person (aligned text) and for a program (JSON), from one description, so
 * that the two cannot disagree. */
#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include "json.h"

/* ---- A list of named values -------------------------------------------------------------- */

enum { REPORT_FIELDS_MAX = 24, REPORT_TEXT_MAX = 128 };

struct report_field {
    const char *label; /* for a person */
    const char *key;   /* for a program */
    enum { REPORT_TEXT, REPORT_INT, REPORT_U64, REPORT_REAL, REPORT_SHAPE } kind;
    int decimals; /* of a real */
    char text[REPORT_TEXT_MAX];
    int64_t number;
    uint64_t natural;
    double real;  /* NaN: no value, printed as "-" */
    int32_t ndim; /* of a shape */
    int64_t shape[4];
};

struct report {
    int count;
    struct report_field fields[REPORT_FIELDS_MAX];
};

void report_text(struct report *report, const char *label, const char *key, const char *value);
void report_int(struct report *report, const char *label, const char *key, int64_t value);
void report_u64(struct report *report, const char *label, const char *key, uint64_t value);
void report_real(struct report *report, const char *label, const char *key, double value,
                 int decimals);
void report_shape(struct report *report, const char *label, const char *key, int32_t ndim,
                  const int64_t *shape);

void report_print(const struct report *report, FILE *stream);

/* Members of the object that is open. */
void report_json(const struct report *report, struct json *json);

/* Prints one way or the other: a table, or an object that begins with "command". */
void report_write(const struct report *report, const char *command, bool as_json, FILE *stream);

/* ---- A table ----------------------------------------------------------------------------- */

struct table_column {
    const char *title; /* first line of the head; NULL: JSON only */
    const char *unit;  /* second line, or "" */
    const char *key;
    int decimals; /* 0: whole numbers; -1: text */
    bool is_time; /* left out by --no-time */
};

enum { TABLE_COLUMNS_MAX = 24 };

struct table_cell {
    char text[REPORT_TEXT_MAX];
    double number; /* NaN: no value */
};

struct table {
    const struct table_column *columns;
    int column_count;
    bool no_time;
    int rows;
    struct table_cell *cells; /* rows x column_count */
    int filled;               /* cells of the last row */
};

void table_start(struct table *table, const struct table_column *columns, int column_count,
                 bool no_time);

/* Appends a cell, and a row when the last one is full. */
int table_number(struct table *table, double value, struct tool_error *error);
int table_text(struct table *table, const char *value, struct tool_error *error);

void table_print(const struct table *table, FILE *stream);

/* Rows first .. end - 1 as an array of objects under key. */
void table_json(const struct table *table, struct json *json, const char *key, int first, int end);

void table_free(struct table *table);

#endif
