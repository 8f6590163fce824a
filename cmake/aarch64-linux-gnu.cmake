# SPDX-License-Identifier: MIT
#
# Toolchain file: Debian's cross compiler for aarch64; programs run under qemu-aarch64.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# pkg-config would answer for the build machine.
set(PKG_CONFIG_EXECUTABLE /bin/false CACHE FILEPATH "" FORCE)

find_program(coir_qemu NAMES qemu-aarch64 qemu-aarch64-static)
if(coir_qemu)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${coir_qemu})
endif()
