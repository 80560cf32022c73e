# SPDX-License-Identifier: Apache-2.0
# warnings.cmake: the warnings that all our code is compiled with; errors with -DQUASH_WERROR=ON.
add_compile_options(
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wundef -Wcast-align -Wdouble-promotion
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)

if(QUASH_WERROR)
    add_compile_options(-Werror)
endif()
