# SPDX-License-Identifier: MIT
#
# Which context switch: COIR_ARCH_CHOSEN is the folder in src/arch.

if(COIR_ARCH STREQUAL "AUTO")
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
        set(COIR_ARCH_CHOSEN x86_64)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
        set(COIR_ARCH_CHOSEN aarch64)
    else()
        set(COIR_ARCH_CHOSEN portable)
    endif()
elseif(COIR_ARCH MATCHES "^(x86_64|aarch64|portable)$")
    set(COIR_ARCH_CHOSEN ${COIR_ARCH})
else()
    message(FATAL_ERROR "COIR_ARCH is '${COIR_ARCH}'; it can be AUTO, x86_64, aarch64 or portable")
endif()

set(COIR_DEFINITIONS _GNU_SOURCE)
if(COIR_ARCH_CHOSEN STREQUAL "portable")
    list(APPEND COIR_DEFINITIONS COIR_ARCH_PORTABLE=1)
endif()
message(STATUS "coir: context switch: ${COIR_ARCH_CHOSEN}")
