# SPDX-License-Identifier: MIT
#
# Headers, both libraries, manual pages, coir.pc, and the CMake package (coir::coir, coir::coir_static).

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

# Manual pages. Each function has a page of its own name, which only names the page that it is on. Web pages are made by
# the target `manual` (tools/manual), in manual/html of the build folder.
file(GLOB coir_pages CONFIGURE_DEPENDS docs/man/*.[37])
foreach(page ${coir_pages})
    get_filename_component(file ${page} NAME)
    string(REGEX MATCH "[37]$" section ${file})
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
    file(STRINGS ${page} names REGEX "^\\.Fo coir_")
    foreach(name ${names})
        string(REPLACE ".Fo " "" name ${name})
        if(NOT EXISTS ${PROJECT_SOURCE_DIR}/docs/man/${name}.3)
            file(WRITE ${PROJECT_BINARY_DIR}/manual/man3/${name}.3 ".so man3/${file}\n")
            install(FILES ${PROJECT_BINARY_DIR}/manual/man3/${name}.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
        endif()
    endforeach()
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${coir_pages})
if(COIR_TOP_LEVEL)
    add_custom_target(manual
        COMMAND ${PROJECT_SOURCE_DIR}/tools/manual html ${PROJECT_BINARY_DIR}/manual/html
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
endif()
