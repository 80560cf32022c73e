# SPDX-License-Identifier: Apache-2.0
"""The manual page, tools/quash.1.in, says what `quash --help` and `quash COMMAND --help` say."""
import os
import pathlib
import re
import shutil
import subprocess

from harness import COMMANDS, Case

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "tools" / "quash.1.in"
DEFAULT = re.compile(r"\(default ([^)]+)\)")


def plain(line):
    """A line of roff without fonts and escapes; of a macro that sets fonts, its words."""
    line = re.sub(r"^\.(?:B|I|BR|BI|IR|RB|RI|SS|SH) ", "", line)
    return re.sub(r"\\f.", "", line).replace("\\-", "-")


def sections(lines, macro):
    """The lines below each heading that macro (.SH, .SS) makes, by heading."""
    found = {}
    for line in lines:
        if line.startswith(macro + " "):
            found[plain(line)] = []
        elif found:
            found[list(found)[-1]].append(line)
    return found


def tagged(lines):
    """Tag and text of every .TP paragraph."""
    pairs = []
    lines = iter(lines)
    for line in lines:
        if line == ".TP":
            pairs.append((plain(next(lines)), []))
        elif line == ".PP":
            pairs.append((None, []))
        elif pairs:
            pairs[-1][1].append(plain(line))
    return [(tag, " ".join(text)) for tag, text in pairs if tag is not None]


def usage(lines):
    return [text for text in map(plain, lines) if text.startswith("quash ")]


class Manual(Case):
    def setUp(self):
        super().setUp()
        self.page = sections(SOURCE.read_text().splitlines(), ".SH")
        self.commands = sections(self.page["COMMANDS"], ".SS")

    def help(self, *command):
        """Blocks of the help text by their headings ("usage:"), as lists of lines."""
        blocks = {}
        for block in self.ok(*command, "--help").decode().split("\n\n"):
            title, *lines = block.splitlines()
            blocks[title] = lines
        return blocks

    def test_main_help(self):
        blocks = self.help()
        names = [line.split()[0] for line in blocks["commands:"]]
        self.assertEqual(tuple(names), COMMANDS)
        self.assertEqual(list(self.commands), names)
        self.assertEqual(usage(self.page["SYNOPSIS"]), [x.strip() for x in blocks["usage:"]])
        codes = [line.split()[0] for line in blocks["exit codes:"]]
        self.assertEqual([tag for tag, _ in tagged(self.page["EXIT STATUS"])], codes)
        own = re.compile(r"QUASH_\w+")
        names = [own.match(line.strip()) for line in blocks["environment:"]]
        tags = [tag for tag, _ in tagged(self.page["ENVIRONMENT"])]
        self.assertEqual([tag for tag in tags if own.match(tag)],
                         [name.group() for name in names if name])

    def test_command_help(self):
        for command in COMMANDS:
            with self.subTest(command):
                blocks = self.help(command)
                manual = self.commands[command]
                self.assertEqual(usage(manual), [line.strip() for line in blocks["usage:"]])
                expected = []
                for line in blocks["options:"]:
                    option = re.match(r"  ((?:-\w, )?--[\w-]+(?: [A-Z][\w.]*)?) +(\S.*)", line)
                    if option:
                        expected.append(list(option.groups()))
                    else:
                        expected[-1][1] += " " + line.strip()
                self.assertEqual([[tag, DEFAULT.findall(text)] for tag, text in tagged(manual)],
                                 [[tag, DEFAULT.findall(text)] for tag, text in expected])

    def test_every_option_named_in_the_text_exists(self):
        known = {"--version"}
        for command in COMMANDS:
            known.update(re.findall(r"--[\w-]+", self.ok(command, "--help").decode()))
        named = re.findall(r"--\w[\w-]*", "\n".join(map(plain, SOURCE.read_text().splitlines())))
        self.assertGreater(len(named), 0)
        self.assertEqual(set(named) - known, set())

    def test_examples_run(self):
        lines = self.page["EXAMPLES"]
        examples = lines[lines.index(".EX") + 1:lines.index(".EE")]
        self.assertGreater(len(examples), 0)
        for line in map(plain, examples):
            with self.subTest(line):
                result = subprocess.run(line, shell=True, cwd=self.work, env=self.env,
                                        capture_output=True, timeout=300)
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_formatter_has_no_warnings(self):
        checks = {"groff": ["groff", "-man", "-ww", "-z", SOURCE],
                  "man": ["man", "--warnings", "-l", SOURCE]}
        installed = [command for name, command in checks.items() if shutil.which(name)]
        if not installed:
            self.skipTest("neither groff nor man is installed")
        for command in installed:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                    env=dict(os.environ, LC_ALL="C.UTF-8", MANPAGER="cat"))
            self.assertEqual((result.returncode, result.stderr), (0, b""), command[0])
