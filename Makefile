# SPDX-License-Identifier: Apache-2.0
# Makefile: a thin front to CMake for the things people do daily. `make help` lists them.
JOBS ?= $(shell nproc 2> /dev/null || echo 2)
PREFIX ?= /usr/local
# More arguments for cmake, for example CMAKE_FLAGS=-DQUASH_WERROR=ON
CMAKE_FLAGS ?=
# Arguments for pytest, for example PYTEST_FLAGS='-m "not slow"'
PYTEST_FLAGS ?= -q

RELEASE = build/release
TOOL = $(RELEASE)/quash

# What the installed Python package is made from.
PACKAGE = pyproject.toml CMakeLists.txt $(shell find include src tools cmake python -type f \
    ! -name '*.pyc')

.PHONY: help demo test test-c test-python test-torch bench install dist clean release

help:
	@echo "make demo      build, then show compression, attention and search on the data of data/"
	@echo "make test      build with asserts on and run all tests: C, then Python with NumPy"
	@echo "make test-torch  the Python tests with torch and transformers too (a download of 3 GB)"
	@echo "make bench     build, then time encoding, attention and search on this machine"
	@echo "make install   build and install below PREFIX ($(PREFIX)); DESTDIR is honoured"
	@echo "make dist      the sources of the last commit: build/quash-VERSION.tar.gz"
	@echo "make clean     remove build/"

# $(call build,PRESET,MORE): quiet unless it fails.
define build
@mkdir -p build
@{ cmake --preset $(1) $(CMAKE_FLAGS) && cmake --build --preset $(1) -j $(JOBS) $(2); } \
    > build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }
endef

# The library and the tool, without the tests.
release:
	$(call build,release,--target quash_cli)

demo: release
	@sh scripts/demo.sh $(TOOL)

bench: release
	@sh scripts/bench.sh $(TOOL)

test: test-c test-python

test-c:
	$(call build,dev)
	@ctest --preset dev -j $(JOBS)

# Environments of their own, made once and again when the package changes.
build/venv/ready build/venv-torch/ready: $(PACKAGE)
	@python3 -c "import ensurepip, venv" 2> /dev/null || { echo "The Python tests make a virtual" \
	    "environment; python3 lacks the modules for it (Debian: apt install python3-venv)" >&2; exit 1; }
	@mkdir -p build && python3 -m venv $(@D)
	@$(@D)/bin/pip install -q --disable-pip-version-check . pytest hypothesis \
	    $(if $(findstring torch,$@),torch transformers matplotlib) \
	    > $(@D).log 2>&1 || { cat $(@D).log; exit 1; }
	@touch $@

# From the checkout's root, the package as it is installed.
test-python: build/venv/ready
	@$(<D)/bin/python -m pytest $(PYTEST_FLAGS)

test-torch: build/venv-torch/ready
	@$(<D)/bin/python -m pytest $(PYTEST_FLAGS)

# The prefix is known when CMake configures: on Debian the library's folder depends on it.
install: override CMAKE_FLAGS += -DCMAKE_INSTALL_PREFIX="$(PREFIX)"
install: release
	@cmake --install $(RELEASE)

VERSION = $(shell sed -n 's/^.define QUASH_VERSION_[MP][A-Z]* \([0-9]*\)$$/\1/p' \
    include/quash/base.h | paste -sd .)

dist:
	@mkdir -p build
	@git archive --prefix=quash-$(VERSION)/ -o build/quash-$(VERSION).tar.gz HEAD
	@echo build/quash-$(VERSION).tar.gz

clean:
	@rm -rf build
