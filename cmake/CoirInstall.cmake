# SPDX-License-Identifier: MIT
#
# Headers, both libraries, coir.pc, and the CMake package (coir::coir, coir::coir_static).

include(CMakePackageConfigHelpers)

set(coir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/coir)

install(TARGETS coir coir_static EXPORT coir_targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT coir_targets NAMESPACE coir:: FILE coirTargets.cmake DESTINATION ${coir_package_dir})

configure_package_config_file(cmake/coirConfig.cmake.in ${PROJECT_BINARY_DIR}/coirConfig.cmake
    INSTALL_DESTINATION ${coir_package_dir})
# Before 1.0 a new minor version may break what used the one before.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/coirConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/coirConfig.cmake ${PROJECT_BINARY_DIR}/coirConfigVersion.cmake
    DESTINATION ${coir_package_dir})

# coir.pc finds its prefix from where it lies, so that the tree can be moved or installed elsewhere; absolute
# directories given by the user are kept.
set(coir_pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    file(RELATIVE_PATH coir_pc_up "${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
    string(REGEX REPLACE "/$" "" coir_pc_up "${coir_pc_up}")
    set(coir_pc_prefix "\${pcfiledir}/${coir_pc_up}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
        set(coir_pc_${dir} "${CMAKE_INSTALL_${dir}}")
    else()
        set(coir_pc_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
endforeach()
set(coir_pc_requires)
if(COIR_HAVE_URING)
    set(coir_pc_requires "liburing >= 2.3")
endif()
configure_file(cmake/coir.pc.in ${PROJECT_BINARY_DIR}/coir.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/coir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
