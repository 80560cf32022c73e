# SPDX-License-Identifier: Apache-2.0
# install.cmake: what `cmake --install` puts where. Nothing installed holds an absolute path unless
# CMAKE_INSTALL_LIBDIR or CMAKE_INSTALL_INCLUDEDIR is one: the prefix may be moved.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(TARGETS quash EXPORT quashTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/quash DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN *.h)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/quash)

if(QUASH_TOOL)
    if(BUILD_SHARED_LIBS)
        file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
        set_target_properties(quash_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
    endif()
    install(TARGETS quash_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    configure_file(tools/quash.1.in quash.1 @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/quash.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# ---- CMake package: find_package(quash) ------------------------------------------------------

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/quash)
install(EXPORT quashTargets NAMESPACE quash:: DESTINATION ${cmake_dir})
configure_package_config_file(cmake/quashConfig.cmake.in quashConfig.cmake
    INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(quashConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
    ${PROJECT_BINARY_DIR}/quashConfig.cmake
    ${PROJECT_BINARY_DIR}/quashConfigVersion.cmake
    DESTINATION ${cmake_dir})

# ---- pkg-config -----------------------------------------------------------------------------

# The prefix is found from the place of the .pc file: `cmake --install --prefix` may move it.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
    BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE QUASH_PC_TO_PREFIX)
# An absolute folder replaces the prefix.
cmake_path(APPEND QUASH_PC_LIBDIR "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND QUASH_PC_INCLUDEDIR "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
# What libquash.a leaves to the program; without a libquash.so, whoever links needs it.
set(QUASH_PC_STATIC "-lm -pthread")
set(QUASH_PC_SHARED "")
if(NOT BUILD_SHARED_LIBS)
    set(QUASH_PC_SHARED " ${QUASH_PC_STATIC}")
endif()
configure_file(cmake/quash.pc.in quash.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/quash.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
