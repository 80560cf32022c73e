/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h: the sub-commands. Each takes its own command line (argv[0] is its name), prints its
 * result to standard output and returns a tool_exit, with the reason in *error. */
#ifndef TOOL_COMMANDS_H
#define TOOL_COMMANDS_H

#include "tool.h"

int cmd_bench(int argc, char **argv, struct tool_error *error);
int cmd_encode(int argc, char **argv, struct tool_error *error);
int cmd_decode(int argc, char **argv, struct tool_error *error);
int cmd_inspect(int argc, char **argv, struct tool_error *error);
int cmd_kv(int argc, char **argv, struct tool_error *error);
int cmd_search(int argc, char **argv, struct tool_error *error);
int cmd_theory(int argc, char **argv, struct tool_error *error);
int cmd_version(int argc, char **argv, struct tool_error *error);

#endif
