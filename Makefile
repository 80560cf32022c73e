# SPDX-License-Identifier: Apache-2.0
# Makefile: a thin front to CMake for the things people do daily. `make help` lists them.
JOBS ?= $(shell nproc 2> /dev/null || echo 2)
PREFIX ?= /usr/local
# More arguments for cmake, for example CMAKE_FLAGS=-DQUASH_WERROR=ON
CMAKE_FLAGS ?=

RELEASE = build/release
TOOL = $(RELEASE)/quash

.PHONY: help demo test bench install clean release

help:
	@echo "make demo      build, then show compression, attention and search on the data of data/"
	@echo "make test      build with asserts on and run all tests"
	@echo "make bench     build, then time encoding, attention and search on this machine"
	@echo "make install   build and install below PREFIX ($(PREFIX)); DESTDIR is honoured"
	@echo "make clean     remove build/"

# $(call build,PRESET): quiet unless it fails.
define build
@mkdir -p build
@{ cmake --preset $(1) $(CMAKE_FLAGS) && cmake --build --preset $(1) -j $(JOBS); } \
    > build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }
endef

release:
	$(call build,release)

demo: release
	@sh scripts/demo.sh $(TOOL)

bench: release
	@sh scripts/bench.sh $(TOOL)

test:
	$(call build,dev)
	@ctest --preset dev -j $(JOBS)

install: release
	@cmake --install $(RELEASE) --prefix "$(PREFIX)"

clean:
	@rm -rf build
