# SPDX-License-Identifier: MIT
#
# coir_add_flags(target): warnings and sanitizers. Everything built here gets them; users don't.

set(coir_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
if(COIR_WERROR)
    list(APPEND coir_warnings -Werror)
endif()

set(coir_sanitize_flags)
if(COIR_SANITIZE)
    string(REPLACE "," ";" coir_sanitizers "${COIR_SANITIZE}")
    foreach(sanitizer ${coir_sanitizers})
        if(NOT sanitizer MATCHES "^(address|thread|undefined)$")
            message(FATAL_ERROR "COIR_SANITIZE: '${sanitizer}' is none of address, thread, undefined")
        endif()
    endforeach()
    list(APPEND coir_sanitize_flags -fsanitize=${COIR_SANITIZE})
    if(COIR_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # ThreadSanitizer does not see fences; ours only order atomics, whose accesses it sees.
        list(APPEND coir_sanitize_flags -Wno-tsan)
    endif()
    if("undefined" IN_LIST coir_sanitizers)
        list(APPEND coir_sanitize_flags -fno-sanitize-recover=undefined)
    endif()
    message(STATUS "coir: sanitizers: ${COIR_SANITIZE}")
endif()

function(coir_add_flags target)
    target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:C,CXX>:${coir_warnings}>")
    if(COIR_SANITIZE)
        # -UNDEBUG: a sanitizer build also checks the asserts, whatever the build type.
        target_compile_options(${target} PRIVATE
            "$<$<COMPILE_LANGUAGE:C,CXX>:-O1;-g;-UNDEBUG;-fno-omit-frame-pointer;${coir_sanitize_flags}>")
        target_link_options(${target} PRIVATE ${coir_sanitize_flags})
    endif()
endfunction()
