/* SPDX-License-Identifier: Apache-2.0 */
/* args.h: the command line of a sub-command, described once: parsed and printed from one table. */
#ifndef TOOL_ARGS_H
#define TOOL_ARGS_H

#include "tool.h"

enum { ARGS_INTS_MAX = 16, ARGS_TEXTS_MAX = 256 };

struct args_ints {
    int count;
    int32_t value[ARGS_INTS_MAX];
};

struct args_texts {
    int count;
    const char *value[ARGS_TEXTS_MAX];
};

enum args_kind {
    ARGS_FLAG,   /* bool */
    ARGS_INT,    /* int32_t in [min, max] */
    ARGS_U64,    /* uint64_t */
    ARGS_CHOICE, /* int32_t: position in choices */
    ARGS_TEXT,   /* const char * */
    ARGS_INTS,   /* struct args_ints: comma-separated, each in [min, max], none twice */
    ARGS_TEXTS   /* struct args_texts: the option may be repeated */
};

struct args_option {
    const char *name; /* without the two dashes */
    char alias;       /* one letter, or 0 */
    enum args_kind kind;
    void *value; /* of the kind's type; holds the default before parsing */
    int32_t min, max;
    const char *const *choices; /* NULL-terminated; ARGS_CHOICE only */
    const char *label;          /* what --help calls the value; NULL for a flag */
    const char *help;           /* one line or more, separated by \n; says the default */
};

struct args_command {
    const char *name;
    const char *purpose;  /* one line */
    const char *synopsis; /* after "quash NAME ", one line each, separated by \n */
    const struct args_option *options;
    size_t option_count;
    const char *notes;    /* paragraphs after the options, or NULL */
    const char *examples; /* lines that work where the repository's data/ is */
};

/* Parses argv[1..]; what is not an option goes to operands. When --help was given, prints it to
 * stdout, sets *helped and returns TOOL_OK: the command then has nothing to do. */
int args_parse(const struct args_command *command, int argc, char **argv,
               struct args_texts *operands, bool *helped, struct tool_error *error);

/* Checks that there are min..max operands; what names them ("IN OUT.qrows"). */
int args_check_operands(const struct args_texts *operands, int min, int max, const char *what,
                        struct tool_error *error);

/* The option every command with figures has. */
#define ARGS_JSON(target)                                                                          \
    { "json", 0, ARGS_FLAG, (target), 0, 0, NULL, NULL, "print one JSON object instead of a table" }
#define ARGS_NO_TIME(target)                                                                       \
    {                                                                                              \
        "no-time", 0, ARGS_FLAG, (target), 0, 0, NULL, NULL,                                       \
            "leave out times and speeds: the output is then reproducible"                          \
    }
/* Of the commands that write a file. */
#define ARGS_QUIET(target)                                                                         \
    {                                                                                              \
        "quiet", 'q', ARGS_FLAG, (target), 0, 0, NULL, NULL,                                       \
            "show no progress and, without --json, no figures"                                     \
    }

#endif
