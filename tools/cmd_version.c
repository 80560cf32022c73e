/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_version.c: `quash version`: what to put into a bug report. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "report.h"

int cmd_version(int argc, char **argv, struct tool_error *error) {
    bool json = false;
    bool helped;
    struct args_texts operands = { 0, { NULL } };
    const struct args_option options[] = { ARGS_JSON(&json) };
    const struct args_command command = {
        .name = "version",
        .purpose = "Prints the version, and the line to put into a bug report.",
        .synopsis = "[OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .examples = "  quash version\n"
                    "  quash version --json\n",
    };
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    quash_context *context = NULL;
    code = args_check_operands(&operands, 0, 0, "", error);
    if (code == TOOL_OK) {
        code = tool_context(&context, 0, error);
    }
    if (code != TOOL_OK) {
        return code;
    }
    char line[REPORT_TEXT_MAX];
    (void)quash_context_describe(context, line, sizeof line);
    quash_context_free(context);
    struct report report = { .count = 0 };
    report_text(&report, "version", "version", quash_version_string());
    report_text(&report, "context", "context", line);
    report_write(&report, "version", json, stdout);
    return TOOL_OK;
}
