#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules of doc/architecture.md that a script can check, on the files of the tree.

    python3 scripts/check_layers.py              check the repository; exit 1 with file:line lines
    python3 scripts/check_layers.py --self-test  prove that each rule catches its violation

Rules: includes point to the same or a lower layer, clients see <quash/...> only, cache and index
do not see each other; no direct allocation, output or exit in src/; file length; unique file names
in src/; every source file opens with an SPDX line and a comment that says what it is for.
"""
import os
import re
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# A file may include files of its own or of a lower layer.
LAYERS = {"base": 0, "kernel": 1, "codec": 2, "cpu": 3, "store": 4, "api": 5}
CLIENTS = ("tools", "examples", "python", "bench")
# Files of src/store whose names begin with one of these do not include the others'.
STORE_SIBLINGS = ("cache", "index")
PUBLIC_HEADER_MAY_INCLUDE = ("stddef.h", "stdint.h")

CALLS_IN_ALLOC = ("malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "strdup",
                  "free")
CALLS_NOWHERE = ("printf", "vprintf", "fprintf", "vfprintf", "puts", "fputs", "putchar", "putc",
                 "fputc", "fwrite", "perror", "abort", "exit", "_exit", "_Exit", "quick_exit")
# Not a member of a struct (allocator->free), not the end of a longer name (quash_free).
CALL = re.compile(r"(?<![\w.])(?<!->)(%s)\s*\(" % "|".join(CALLS_IN_ALLOC + CALLS_NOWHERE))
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
CODE = (".c", ".h", ".cpp")
LINES_MAX = 400
LINES_MAX_KERNEL = 800


def blank(text, strings):
    """text with comments, and string literals if asked, replaced by blanks; lines are kept."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def replace(match):
        found = match.group()
        if found[0] in "\"'" and not strings:
            return found
        return re.sub(r"[^\n]", " ", found)

    return token.sub(replace, text)


def sibling(name):
    """The part of src/store a file belongs to: cache.h and cache_file.c are both cache."""
    return next((s for s in STORE_SIBLINGS if re.match(s + r"[_.]", name)), None)


def check_src_include(path, quote, target, root):
    """What is wrong with one #include line of src/, or None."""
    layer, name = path.split("/")[1], os.path.basename(path)
    if layer not in LAYERS:
        return "src/%s is no layer" % layer
    if quote == "<":
        if target.split("/")[0] in LAYERS:
            return "own header in angle brackets: <%s>" % target
        return None
    parts = target.split("/")
    if len(parts) != 2 or parts[0] not in LAYERS:
        return 'include own headers as "layer/file.h", not "%s"' % target
    if LAYERS[parts[0]] > LAYERS[layer]:
        return "upward include: %s includes %s" % (layer, target)
    if not os.path.isfile(os.path.join(root, "src", target)):
        return "src/%s does not exist" % target
    own, other = sibling(name), sibling(parts[1])
    if layer == "store" and parts[0] == "store" and own and other and own != other:
        return "sideways include: %s includes %s" % (own, target)
    return None


def check_client_include(path, quote, target, root):
    """What is wrong with one #include line of a client, or None."""
    if quote == '"':
        beside = os.path.join(root, os.path.dirname(path), target)
        if "/" in target or not os.path.isfile(beside):
            return 'clients include <quash/...> and headers beside them, not "%s"' % target
    elif target.split("/")[0] in LAYERS:
        return "clients include <quash/...> only, not <%s>" % target
    return None


def check_public_include(quote, target):
    """What is wrong with one #include line of a public header, or None."""
    if quote == "<" and (target.startswith("quash/") or target in PUBLIC_HEADER_MAY_INCLUDE):
        return None
    return "public headers include <quash/...>, %s only" % ", ".join(
        "<%s>" % h for h in PUBLIC_HEADER_MAY_INCLUDE)


def check_opening(path, text):
    """None when the file opens with an SPDX line and a comment."""
    lines = text.split("\n")
    if lines and lines[0].startswith("#!"):
        lines = lines[1:]
    if not lines or "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        return "the file does not open with its SPDX line"
    second = lines[1].strip() if len(lines) > 1 else ""
    opens = r"/\*\*? *\S.{10}" if path.endswith(CODE) else r'(#|""") *\S.{10}'
    if not re.match(opens, second):
        return "the line after SPDX does not begin a comment that says what the file is for"
    return None


def check_file(path, text, root):
    """Yields (line, what is wrong) for one file; path is relative to root, with slashes."""
    top = path.split("/")[0]
    wrong = check_opening(path, text)
    if wrong:
        yield 1, wrong
    if not path.endswith(CODE):
        return

    if top in ("src", "include", "tools"):
        limit = LINES_MAX_KERNEL if path.startswith("src/kernel/") else LINES_MAX
        lines = text.count("\n")
        if lines > limit:
            yield lines, "%d lines, at most %d" % (lines, limit)

    code = blank(text, strings=False)
    for match in INCLUDE.finditer(code):
        line = code.count("\n", 0, match.start(1)) + 1
        quote, target = match.groups()
        if top == "src":
            wrong = check_src_include(path, quote, target, root)
        elif top == "include":
            wrong = check_public_include(quote, target)
        elif top in CLIENTS:
            wrong = check_client_include(path, quote, target, root)
        else:
            wrong = None  # tests may include internals
        if wrong:
            yield line, wrong

    if top == "src":
        code = blank(text, strings=True)
        for match in CALL.finditer(code):
            name = match.group(1)
            if name in CALLS_IN_ALLOC and path == "src/base/alloc.c":
                continue
            yield code.count("\n", 0, match.start(1)) + 1, "direct call of %s" % name


def files_of(root):
    """The files under the rules, as paths relative to root."""
    for top in ("src", "include", "tests", "scripts", "cmake", ".ci") + CLIENTS:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = sorted(f for f in folders if f not in ("corpus", "__pycache__"))
            for name in sorted(names):
                if name.endswith(CODE + (".py", ".sh", ".cmake")) or name in (
                        "CMakeLists.txt", "run"):
                    path = os.path.relpath(os.path.join(folder, name), root)
                    yield path.replace(os.sep, "/")
    for name in ("CMakeLists.txt", "Makefile"):
        if os.path.isfile(os.path.join(root, name)):
            yield name


def check_tree(root):
    """All complaints about the tree at root, as lines of text, and the number of files read."""
    complaints = []
    names = {}
    paths = list(files_of(root))
    for path in paths:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        complaints += ["%s:%d: %s" % (path, line, wrong)
                       for line, wrong in check_file(path, text, root)]
        if path.startswith("src/"):
            name = os.path.basename(path)
            if name in names:
                complaints.append("%s:1: same file name as %s" % (path, names[name]))
            names.setdefault(name, path)
    return complaints, len(paths)


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
HEAD = SPDX + "/* A comment that says what the file is for. */\n"

# A tree without fault, in which each case below replaces or adds one file.
GOOD = {
    "src/base/status.h": HEAD,
    "src/base/alloc.c": HEAD + '#include "base/status.h"\nvoid *f(void) { return malloc(1); }\n',
    "src/kernel/kernel.h": HEAD + '#include "base/status.h"\n' + "\n" * 700,
    "src/codec/codec.h": HEAD + "#include <quash/base.h>\n",
    "src/store/cache.h": HEAD + '#include "kernel/kernel.h"\n',
    "src/store/index.h": HEAD,
    "src/store/cache_file.c": HEAD + '#include "store/cache.h"\n#include "store/rows.h"\n',
    "src/store/rows.h": HEAD,
    "src/api/api.c": HEAD + '#include "store/cache.h"\n#include "store/index.h"\n'
                     '/* free(p) and exit(1) in a comment */ const char *s = "printf(";\n'
                     "void g(void) { allocator->free(0); a.free(0); quash_free(0); }\n"
                     "struct a { void (*free)(void); }; int h(void) { return snprintf(0, 0, s); }\n",
    "include/quash/base.h": HEAD + "#include <stdint.h>\n",
    "tools/quash.c": HEAD + '#include <quash/base.h>\n#include "tool.h"\nint m(void) { exit(1); }\n',
    "tools/tool.h": HEAD,
    "tests/unit/test_a.c": HEAD + '#include "codec/codec.h"\n',
    "scripts/a.sh": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n# a.sh: what it is for.\n",
}

# (file, its content, what the complaint must contain)
BAD = [
    ("src/base/a.c", HEAD + '#include "codec/codec.h"\n', "a.c:3: upward include"),
    ("src/kernel/a.c", HEAD + '\n#  include "codec/codec.h"\n', "a.c:4: upward include"),
    ("src/codec/a.c", HEAD + '#include "store/cache.h"\n', "a.c:3: upward include"),
    ("src/store/a.c", HEAD + '#include "api/api.h"\n', "a.c:3: upward include"),
    ("src/store/cache_a.c", HEAD + '#include "store/index.h"\n', "cache_a.c:3: sideways include"),
    ("src/store/index_a.c", HEAD + '#include "store/cache.h"\n', "index_a.c:3: sideways include"),
    ("src/base/a.c", HEAD + '#include "status.h"\n', "a.c:3: include own headers as"),
    ("src/base/a.c", HEAD + '#include "../codec/codec.h"\n', "a.c:3: include own headers as"),
    ("src/base/a.c", HEAD + "#include <codec/codec.h>\n", "a.c:3: own header in angle"),
    ("src/base/a.c", HEAD + '#include "base/missing.h"\n', "a.c:3: src/base/missing.h does not"),
    ("src/io/a.c", HEAD + "#include <stdint.h>\n", "a.c:3: src/io is no layer"),
    ("include/quash/a.h", HEAD + "#include <stdio.h>\n", "a.h:3: public headers include"),
    ("include/quash/a.h", HEAD + '#include "base/status.h"\n', "a.h:3: public headers include"),
    ("tools/a.c", HEAD + '#include "base/status.h"\n', "a.c:3: clients include"),
    ("tools/a.c", HEAD + '#include "../src/base/status.h"\n', "a.c:3: clients include"),
    ("tools/a.c", HEAD + "#include <base/status.h>\n", "a.c:3: clients include"),
    ("examples/a.c", HEAD + '#include "tool.h"\n', "a.c:3: clients include"),
    ("src/codec/alloc.c", HEAD, "same file name as src/base/alloc.c"),
    ("src/base/a.c", HEAD + "\n" * 399, "401 lines, at most 400"),
    ("src/kernel/a.c", HEAD + "\n" * 799, "801 lines, at most 800"),
    ("include/quash/a.h", HEAD + "\n" * 399, "401 lines, at most 400"),
    ("tools/a.c", HEAD + "\n" * 399, "401 lines, at most 400"),
    ("tests/unit/test_a.c", "int x;\n", "test_a.c:1: the file does not open with its SPDX line"),
    ("src/base/a.c", SPDX + "#include <stdint.h>\n", "a.c:1: the line after SPDX"),
    ("scripts/a.sh", "#!/bin/sh\n# a.sh: what it is for.\n", "a.sh:1: the file does not open"),
    ("scripts/a.py", "# SPDX-License-Identifier: Apache-2.0\nimport os\n", "a.py:1: the line after"),
] + [
    ("src/base/a.c", HEAD + "void f(void)\n{\n    %s(0);\n}\n" % name, "a.c:5: direct call of " + name)
    for name in CALLS_IN_ALLOC + CALLS_NOWHERE
] + [
    ("src/base/alloc.c", HEAD + "void f(void) { abort(); }\n", "alloc.c:3: direct call of abort"),
]


def self_test():
    """Returns the number of cases that did not go as they must."""
    failures = 0
    for bad in [None] + BAD:
        tree = dict(GOOD)
        if bad:
            tree[bad[0]] = bad[1]
        with tempfile.TemporaryDirectory() as root:
            for path, text in tree.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            complaints = check_tree(root)[0]
        if bad is None:
            ok = not complaints
        else:
            ok = len(complaints) == 1 and bad[2] in complaints[0]
        if not ok:
            failures += 1
            print("self-test: %s: got %r" % (bad[2] if bad else "a tree without fault", complaints))
    print("self-test: %d cases, %d failed" % (len(BAD) + 1, failures))
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    if sys.argv[1:]:
        print(__doc__)
        return 2
    complaints, count = check_tree(ROOT)
    for complaint in complaints:
        print(complaint)
    print("check_layers: %d files, %d complaints" % (count, len(complaints)))
    return 1 if complaints or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
