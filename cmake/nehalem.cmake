# SPDX-License-Identifier: Apache-2.0
# nehalem.cmake: toolchain file, from x86-64 to itself; programs of the build run on an emulated CPU
# without AVX. An AVX instruction outside the kernels of its level ends them. Debian: qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-x86_64 -cpu Nehalem)
