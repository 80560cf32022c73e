# SPDX-License-Identifier: Apache-2.0
# isa.cmake: files whose name ends in an instruction set (rotate_avx2.c) get its compile flags; all
# other files are built for the floor of the ABI. With QUASH_PORTABLE, and on another processor,
# they are left out.

set(QUASH_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(QUASH_ISA_FLAGS_avx512 ${QUASH_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
    -mavx512vbmi -mavx512vbmi2 -mavx512vnni)
set(QUASH_ISA_FLAGS_neon "")  # part of the floor of armv8-a
set(QUASH_ISA_FLAGS_dotprod -march=armv8.2-a+dotprod)

if(QUASH_PORTABLE)
    set(QUASH_ISA_BUILT "")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(QUASH_ISA_BUILT avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(QUASH_ISA_BUILT neon dotprod)
else()
    set(QUASH_ISA_BUILT "")
endif()

# Removes the files of a foreign instruction set from the list variable `list`, sets the flags of
# the others.
function(quash_select_isa list)
    foreach(isa avx2 avx512 neon dotprod)
        set(files ${${list}})
        list(FILTER files INCLUDE REGEX "_${isa}\\.c$")
        if(isa IN_LIST QUASH_ISA_BUILT)
            set_source_files_properties(${files} PROPERTIES
                COMPILE_OPTIONS "${QUASH_ISA_FLAGS_${isa}}")
        elseif(files)
            list(REMOVE_ITEM ${list} ${files})
        endif()
    endforeach()
    set(${list} "${${list}}" PARENT_SCOPE)
endfunction()
