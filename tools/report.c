/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: aligned text and JSON from one description of the figures. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct report_field *add_field(struct report *report, const char *label, const char *key) {
    struct report_field *field = &report->fields[report->count];
    if (report->count < REPORT_FIELDS_MAX - 1) {
        report->count++;
    }
    memset(field, 0, sizeof *field);
    field->label = label;
    field->key = key;
    return field;
}

void report_text(struct report *report, const char *label, const char *key, const char *value) {
    struct report_field *field = add_field(report, label, key);
    field->kind = REPORT_TEXT;
    (void)snprintf(field->text, sizeof field->text, "%s", value);
}

void report_int(struct report *report, const char *label, const char *key, int64_t value) {
    struct report_field *field = add_field(report, label, key);
    field->kind = REPORT_INT;
    field->number = value;
    (void)snprintf(field->text, sizeof field->text, "%" PRId64, value);
}

void report_u64(struct report *report, const char *label, const char *key, uint64_t value) {
    struct report_field *field = add_field(report, label, key);
    field->kind = REPORT_U64;
    field->natural = value;
    (void)snprintf(field->text, sizeof field->text, "%" PRIu64, value);
}

void report_real(struct report *report, const char *label, const char *key, double value,
                 int decimals) {
    struct report_field *field = add_field(report, label, key);
    field->kind = REPORT_REAL;
    field->decimals = decimals;
    field->real = value;
    if (isnan(value)) {
        (void)snprintf(field->text, sizeof field->text, "-");
    } else {
        (void)snprintf(field->text, sizeof field->text, "%.*f", decimals, value);
    }
}

/* "3 x 1024 x 64"; an array in JSON. */
void report_shape(struct report *report, const char *label, const char *key, int32_t ndim,
                  const int64_t *shape) {
    struct report_field *field = add_field(report, label, key);
    field->kind = REPORT_SHAPE;
    field->ndim = ndim;
    for (int32_t i = 0; i < ndim; i++) {
        const size_t used = strlen(field->text);
        field->shape[i] = shape[i];
        (void)snprintf(field->text + used, sizeof field->text - used, "%s%" PRId64,
                       i > 0 ? " x " : "", shape[i]);
    }
}

/* Numbers are aligned to the right, and texts among them; texts alone to the left. */
void report_print(const struct report *report, FILE *stream) {
    bool numbers = false;
    size_t label_width = 0;
    size_t value_width = 0;
    for (int i = 0; i < report->count; i++) {
        const size_t label = strlen(report->fields[i].label);
        const size_t value = strlen(report->fields[i].text);
        numbers = numbers || report->fields[i].kind != REPORT_TEXT;
        label_width = label > label_width ? label : label_width;
        value_width = value > value_width ? value : value_width;
    }
    for (int i = 0; i < report->count; i++) {
        fprintf(stream, "%-*s  %*s\n", (int)label_width, report->fields[i].label,
                numbers ? (int)value_width : 0, report->fields[i].text);
    }
}

void report_json(const struct report *report, struct json *json) {
    for (int i = 0; i < report->count; i++) {
        const struct report_field *field = &report->fields[i];
        switch (field->kind) {
        case REPORT_TEXT: json_text(json, field->key, field->text); break;
        case REPORT_INT: json_int(json, field->key, field->number); break;
        case REPORT_U64: json_u64(json, field->key, field->natural); break;
        case REPORT_REAL: json_real(json, field->key, field->real); break;
        case REPORT_SHAPE:
            json_array(json, field->key);
            for (int32_t d = 0; d < field->ndim; d++) {
                json_int(json, NULL, field->shape[d]);
            }
            json_close_array(json);
            break;
        }
    }
}

void report_write(const struct report *report, const char *command, bool as_json, FILE *stream) {
    if (!as_json) {
        report_print(report, stream);
        return;
    }
    struct json json;
    json_start(&json, stream);
    json_object(&json, NULL);
    json_text(&json, "command", command);
    report_json(report, &json);
    json_close_object(&json);
}

void table_start(struct table *table, const struct table_column *columns, int column_count,
                 bool no_time) {
    *table = (struct table){ columns, column_count, no_time, 0, NULL, column_count };
}

/* The next cell, or NULL. */
static struct table_cell *next_cell(struct table *table, struct tool_error *error) {
    if (table->filled == table->column_count) {
        const size_t row = (size_t)table->column_count * sizeof *table->cells;
        struct table_cell *larger = realloc(table->cells, ((size_t)table->rows + 1) * row);
        if (larger == NULL) {
            (void)tool_fail_memory(error, "table");
            return NULL;
        }
        table->cells = larger;
        memset(larger + (ptrdiff_t)table->rows * table->column_count, 0, row);
        table->rows++;
        table->filled = 0;
    }
    return &table->cells[(ptrdiff_t)(table->rows - 1) * table->column_count + table->filled++];
}

int table_number(struct table *table, double value, struct tool_error *error) {
    struct table_cell *cell = next_cell(table, error);
    if (cell == NULL) {
        return TOOL_FAILED;
    }
    const int decimals = table->columns[table->filled - 1].decimals;
    cell->number = value;
    if (isnan(value)) {
        (void)snprintf(cell->text, sizeof cell->text, "-");
    } else {
        (void)snprintf(cell->text, sizeof cell->text, "%.*f", decimals, value);
    }
    return TOOL_OK;
}

int table_text(struct table *table, const char *value, struct tool_error *error) {
    struct table_cell *cell = next_cell(table, error);
    if (cell == NULL) {
        return TOOL_FAILED;
    }
    (void)snprintf(cell->text, sizeof cell->text, "%s", value);
    return TOOL_OK;
}

static bool is_printed(const struct table *table, int column) {
    const struct table_column *c = &table->columns[column];
    return c->title != NULL && !(c->is_time && table->no_time);
}

/* Text is aligned to the left, numbers to the right under their head. */
static void print_cell(FILE *stream, const struct table_column *column, const char *text, int width,
                       bool first, bool last) {
    (void)fputs(first ? "" : "  ", stream);
    if (column->decimals >= 0) {
        fprintf(stream, "%*s", width, text);
    } else {
        fprintf(stream, "%-*s", last ? 0 : width, text); /* no spaces at the end of a line */
    }
}

void table_print(const struct table *table, FILE *stream) {
    int width[TABLE_COLUMNS_MAX] = { 0 };
    int last = 0;
    for (int c = 0; c < table->column_count; c++) {
        if (!is_printed(table, c)) {
            continue;
        }
        last = c;
        const size_t title = strlen(table->columns[c].title);
        const size_t unit = strlen(table->columns[c].unit);
        width[c] = (int)(title > unit ? title : unit);
        for (int r = 0; r < table->rows; r++) {
            const int length = (int)strlen(table->cells[r * table->column_count + c].text);
            width[c] = length > width[c] ? length : width[c];
        }
    }
    for (int r = -2; r < table->rows; r++) {
        bool first = true;
        for (int c = 0; c < table->column_count; c++) {
            if (is_printed(table, c)) {
                const struct table_column *column = &table->columns[c];
                const char *text = r == -2   ? column->title
                                   : r == -1 ? column->unit
                                             : table->cells[r * table->column_count + c].text;
                print_cell(stream, column, text, width[c], first, c == last);
                first = false;
            }
        }
        (void)fputc('\n', stream);
    }
}

void table_json(const struct table *table, struct json *json, const char *key, int first, int end) {
    json_array(json, key);
    for (int r = first; r < end; r++) {
        json_object(json, NULL);
        for (int c = 0; c < table->column_count; c++) {
            const struct table_column *column = &table->columns[c];
            const struct table_cell *cell = &table->cells[r * table->column_count + c];
            if (column->is_time && table->no_time) {
                continue;
            }
            if (column->decimals < 0) {
                json_text(json, column->key, cell->text);
            } else {
                json_real(json, column->key, cell->number);
            }
        }
        json_close_object(json);
    }
    json_close_array(json);
}

void table_free(struct table *table) {
    free(table->cells);
    table->cells = NULL;
}
