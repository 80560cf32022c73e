/* SPDX-License-Identifier: Apache-2.0 */
/* args.c: parses and prints the options of a sub-command from its table. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char try_help[] = "see --help";

/* A decimal integer and nothing else: strtol alone would accept " 3", "+3" and "3x". */
static bool parse_int(const char *text, size_t length, int32_t *out) {
    int64_t value = 0;
    const bool negative = length > 0 && text[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == length || length - i > 10) {
        return false;
    }
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = 10 * value + (text[i] - '0');
    }
    value = negative ? -value : value;
    if (value < INT32_MIN || value > INT32_MAX) {
        return false;
    }
    *out = (int32_t)value;
    return true;
}

static int parse_int_option(const struct args_option *option, const char *text, size_t length,
                            int32_t *out, struct tool_error *error) {
    if (!parse_int(text, length, out) || *out < option->min || *out > option->max) {
        return tool_fail(error, TOOL_USAGE,
                         "--%s: found '%.*s', expected a whole number from %d to %d", option->name,
                         (int)length, text, option->min, option->max);
    }
    return TOOL_OK;
}

static int parse_u64_option(const struct args_option *option, const char *text,
                            struct tool_error *error) {
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        return tool_fail(error, TOOL_USAGE,
                         "--%s: found '%s', expected a whole number from 0 to 18446744073709551615",
                         option->name, text);
    }
    *(uint64_t *)option->value = value;
    return TOOL_OK;
}

static int parse_choice(const struct args_option *option, const char *text,
                        struct tool_error *error) {
    char list[256] = "";
    for (int32_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(int32_t *)option->value = i;
            return TOOL_OK;
        }
        const size_t used = strlen(list);
        (void)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                       option->choices[i]);
    }
    return tool_fail(error, TOOL_USAGE, "--%s: found '%s', expected one of %s", option->name, text,
                     list);
}

static int parse_ints(const struct args_option *option, const char *text,
                      struct tool_error *error) {
    struct args_ints list = { 0, { 0 } };
    for (const char *start = text;;) {
        const size_t length = strcspn(start, ",");
        int32_t value = 0;
        const int code = parse_int_option(option, start, length, &value, error);
        if (code != TOOL_OK) {
            return code;
        }
        for (int i = 0; i < list.count; i++) {
            if (list.value[i] == value) {
                return tool_fail(error, TOOL_USAGE, "--%s: %d is listed twice", option->name,
                                 value);
            }
        }
        if (list.count == ARGS_INTS_MAX) {
            return tool_fail(error, TOOL_USAGE, "--%s: more than %d values", option->name,
                             ARGS_INTS_MAX);
        }
        list.value[list.count++] = value;
        if (start[length] == '\0') {
            break;
        }
        start += length + 1;
    }
    *(struct args_ints *)option->value = list;
    return TOOL_OK;
}

static int append_text(struct args_texts *texts, const char *text, const char *what,
                       struct tool_error *error) {
    if (texts->count == ARGS_TEXTS_MAX) {
        return tool_fail(error, TOOL_USAGE, "more than %d %s", ARGS_TEXTS_MAX, what);
    }
    texts->value[texts->count++] = text;
    return TOOL_OK;
}

static int parse_value(const struct args_option *option, const char *text,
                       struct tool_error *error) {
    switch (option->kind) {
    case ARGS_FLAG: break;
    case ARGS_INT: return parse_int_option(option, text, strlen(text), option->value, error);
    case ARGS_U64: return parse_u64_option(option, text, error);
    case ARGS_CHOICE: return parse_choice(option, text, error);
    case ARGS_INTS: return parse_ints(option, text, error);
    case ARGS_TEXT: *(const char **)option->value = text; break;
    case ARGS_TEXTS: return append_text(option->value, text, "values", error);
    }
    return TOOL_OK;
}

static int unknown_option(const struct args_command *command, const char *name, size_t length,
                          struct tool_error *error) {
    enum { LIST_MAX = 32 };
    const char *names[LIST_MAX];
    size_t count = 0;
    names[count++] = "help";
    for (size_t i = 0; i < command->option_count && count < LIST_MAX; i++) {
        names[count++] = command->options[i].name;
    }
    char word[64];
    (void)snprintf(word, sizeof word, "%.*s", (int)(length < 60 ? length : 60), name);
    const char *nearest = tool_nearest(word, names, count);
    if (nearest != NULL) {
        return tool_fail(error, TOOL_USAGE, "unknown option --%s; did you mean --%s?", word,
                         nearest);
    }
    return tool_fail(error, TOOL_USAGE, "unknown option --%s; %s", word, try_help);
}

/* Help of one option: "  --name LABEL   help", the help starting in column 28. */
static void print_option(char alias, const char *name, const char *label, const char *help) {
    char head[64];
    char letter[8] = "";
    if (alias != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", alias);
    }
    (void)snprintf(head, sizeof head, "  %s--%s%s%s", letter, name, label != NULL ? " " : "",
                   label != NULL ? label : "");
    bool first = true;
    for (const char *line = help; *line != '\0'; first = false) {
        const size_t length = strcspn(line, "\n");
        printf("%-28s%s%.*s\n", first ? head : "", first && strlen(head) > 27 ? " " : "",
               (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void print_help(const struct args_command *command) {
    printf("%s\n\nusage:\n", command->purpose);
    for (const char *line = command->synopsis; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        printf("  quash %s %.*s\n", command->name, (int)length, line);
        line += length + (line[length] == '\n');
    }
    printf("\noptions:\n");
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        print_option(option->alias, option->name, option->label, option->help);
    }
    print_option('h', "help", NULL, "print this and leave");
    if (command->notes != NULL) {
        printf("\n%s", command->notes);
    }
    printf("\nexamples:\n%s", command->examples);
}

/* The option that argument (which starts with a dash) names, and its value if it is attached:
 * "--name=value", "-kvalue". NULL: unknown. */
static const struct args_option *find_option(const struct args_command *command,
                                             const char *argument, size_t name_length,
                                             const char **attached) {
    *attached = NULL;
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        if (argument[1] == '-') {
            const char *name = argument + 2;
            if (strlen(option->name) == name_length &&
                strncmp(option->name, name, name_length) == 0) {
                *attached = name[name_length] == '=' ? name + name_length + 1 : NULL;
                return option;
            }
        } else if (option->alias != 0 && argument[1] == option->alias) {
            *attached = argument[2] != '\0' ? argument + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

/* Parses the option at argv[*at], and moves *at to its value when that is an argument. */
static int parse_option(const struct args_command *command, int argc, char **argv, int *at,
                        struct tool_error *error) {
    const char *argument = argv[*at];
    const char *attached;
    const size_t name_length = argument[1] == '-' ? strcspn(argument + 2, "=") : 1;
    const struct args_option *option = find_option(command, argument, name_length, &attached);
    if (option == NULL && argument[1] != '-') {
        return tool_fail(error, TOOL_USAGE, "unknown option %s; %s", argument, try_help);
    }
    if (option == NULL) {
        return unknown_option(command, argument + 2, name_length, error);
    }
    if (option->kind == ARGS_FLAG) {
        if (attached != NULL) {
            return tool_fail(error, TOOL_USAGE, "--%s takes no value, found '%s'", option->name,
                             attached);
        }
        *(bool *)option->value = true;
        return TOOL_OK;
    }
    if (attached == NULL) {
        if (*at + 1 == argc) {
            return tool_fail(error, TOOL_USAGE, "--%s needs a value: %s", option->name,
                             option->label);
        }
        attached = argv[++*at];
    }
    return parse_value(option, attached, error);
}

int args_parse(const struct args_command *command, int argc, char **argv,
               struct args_texts *operands, bool *helped, struct tool_error *error) {
    bool only_operands = false;
    *helped = false;
    /* --help wins over any mistake elsewhere on the line: whoever asks for it may be lost. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command);
            *helped = true;
            return TOOL_OK;
        }
    }
    for (int i = 1; i < argc; i++) {
        const bool operand = only_operands || argv[i][0] != '-' || argv[i][1] == '\0';
        if (!operand && strcmp(argv[i], "--") == 0) {
            only_operands = true;
            continue;
        }
        const int code = operand ? append_text(operands, argv[i], "operands", error)
                                 : parse_option(command, argc, argv, &i, error);
        if (code != TOOL_OK) {
            return code;
        }
    }
    return TOOL_OK;
}

int args_check_operands(const struct args_texts *operands, int min, int max, const char *what,
                        struct tool_error *error) {
    if (operands->count < min) {
        return tool_fail(error, TOOL_USAGE, "expected %s, found %d operand%s; %s", what,
                         operands->count, operands->count == 1 ? "" : "s", try_help);
    }
    if (operands->count > max) {
        return tool_fail(error, TOOL_USAGE, "unexpected operand '%s'; expected %s",
                         operands->value[max], *what != '\0' ? what : "none");
    }
    return TOOL_OK;
}
