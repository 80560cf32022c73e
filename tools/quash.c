/* SPDX-License-Identifier: Apache-2.0 */
/* quash.c: main of the command-line tool: finds the sub-command, prints its failure. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "commands.h"
#include "output.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name;
    const char *purpose;
    int (*run)(int argc, char **argv, struct tool_error *error);
};

static const struct command commands[] = {
    { "encode", "compress rows of numbers to 1-4 bits per number", cmd_encode },
    { "decode", "turn a rows file back into numbers", cmd_decode },
    { "inspect", "say what a file holds, and check it", cmd_inspect },
    { "kv", "measure a compressed key/value cache on captured keys and values", cmd_kv },
    { "search", "measure recall, size and speed of a compressed vector index", cmd_search },
    { "theory", "print the paper's bounds, the theory and what is measured", cmd_theory },
    { "bench", "time encoding and decoding on this machine", cmd_bench },
    { "version", "print the version and how this machine is used", cmd_version },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void) {
    printf("quash: compress vectors to 1-4 bits per number, and measure what that costs\n\n"
           "usage:\n  quash COMMAND [OPTIONS]\n  quash COMMAND --help\n  quash --version\n\n"
           "commands:\n");
    for (int i = 0; i < COMMANDS; i++) {
        printf("  %-9s %s\n", commands[i].name, commands[i].purpose);
    }
    printf("\nexit codes:\n"
           "  0  success\n"
           "  1  failure of input or output (a closed pipe is one), of memory or of this machine\n"
           "  2  mistake on the command line, in QUASH_CPU or in QUASH_THREADS\n"
           "  3  input that cannot be used (format, shape, NaN, infinity)\n"
           "  4  damaged rows file, or one of an unknown version\n\n"
           "environment:\n"
           "  QUASH_CPU      c, avx2, avx512, neon or dotprod: use no more of the processor than "
           "this\n"
           "  QUASH_THREADS  1 to 1024 threads (default: one per CPU the process may run on);\n"
           "                 results are the same with any number\n");
}

/* Messages may quote a file name, and a terminal obeys control characters. */
static void print_error(const char *command, const struct tool_error *error) {
    if (error->quiet) {
        return;
    }
    fprintf(stderr, "quash%s%s: ", command != NULL ? " " : "", command != NULL ? command : "");
    for (const char *c = error->text; *c != '\0'; c++) {
        const unsigned char byte = (unsigned char)*c;
        (void)fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, stderr);
    }
    (void)fputc('\n', stderr);
}

static int unknown_command(const char *name, struct tool_error *error) {
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
    }
    const char *nearest = tool_nearest(name, names, COMMANDS);
    const char *kind = name[0] == '-' ? "option" : "command";
    if (nearest != NULL) {
        return tool_fail(error, TOOL_USAGE, "unknown %s %s; did you mean %s?", kind, name, nearest);
    }
    return tool_fail(error, TOOL_USAGE, "unknown %s %s; see quash --help", kind, name);
}

/* With a closed standard stream, the first file opened would take its place and receive what is
 * meant for it. */
static void open_standard_streams(void) {
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < STDERR_FILENO) {
        fd = dup(fd);
    }
    if (fd > STDERR_FILENO) {
        (void)close(fd);
    }
}

int main(int argc, char **argv) {
    struct tool_error error = { TOOL_OK, false, "" };
    const char *name = NULL;
    open_standard_streams();
    /* A reader that has gone is an error like any other: output files are tidied up. */
    (void)signal(SIGPIPE, SIG_IGN);
#ifdef SIGXFSZ
    (void)signal(SIGXFSZ, SIG_IGN); /* a file beyond the shell's limit, likewise */
#endif
    if (argc < 2) {
        (void)tool_fail(&error, TOOL_USAGE, "expected a command; see quash --help");
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
               strcmp(argv[1], "help") == 0) {
        print_help();
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("quash %s\n", quash_version_string());
    } else {
        for (int i = 0; i < COMMANDS && name == NULL; i++) {
            if (strcmp(argv[1], commands[i].name) == 0) {
                name = commands[i].name;
                (void)commands[i].run(argc - 1, argv + 1, &error);
            }
        }
        if (name == NULL) {
            (void)unknown_command(argv[1], &error);
        }
    }
    if (error.code == TOOL_OK) {
        (void)output_flush_stdout(&error);
    }
    if (error.code != TOOL_OK) {
        print_error(name, &error);
    }
    return error.code;
}
