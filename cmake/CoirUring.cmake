# SPDX-License-Identifier: MIT
#
# Whether io_uring is built in: COIR_HAVE_URING, and the imported target PkgConfig::COIR_LIBURING.
# Without liburing the library has epoll alone.

set(COIR_HAVE_URING 0)
if(NOT COIR_URING MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "COIR_URING is '${COIR_URING}'; it can be AUTO, ON or OFF")
endif()

if(COIR_URING STREQUAL "OFF")
    message(STATUS "coir: io_uring is left out (COIR_URING=OFF)")
else()
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(COIR_LIBURING QUIET IMPORTED_TARGET liburing>=2.3)
    endif()
    if(COIR_LIBURING_FOUND)
        set(COIR_HAVE_URING 1)
        list(APPEND COIR_DEFINITIONS COIR_HAVE_URING=1)
        message(STATUS "coir: io_uring through liburing ${COIR_LIBURING_VERSION}")
    elseif(COIR_URING STREQUAL "ON")
        message(FATAL_ERROR "COIR_URING=ON, but liburing 2.3 or later was not found (package liburing-dev)")
    else()
        message(STATUS "coir: io_uring is left out: no liburing 2.3 or later (package liburing-dev)")
    endif()
endif()
