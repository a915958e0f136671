# The few functions with which every target of this project is made, so that
# warnings, include paths, output folders and test labels are the same
# everywhere.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Installed programs find LibTorch where they were linked with it.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

# PRIVATE to each target: a user of a header does not inherit our warnings.
add_library(parm_warnings INTERFACE)
add_library(parm::warnings ALIAS parm_warnings)
target_compile_options(
  parm_warnings
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
            -Woverloaded-virtual
            # Names its fields; the others have defaults.
            -Wno-missing-field-initializers
            $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety
            -Wno-missing-designated-field-initializers>
            # False positives of g++ 12 inside inlined std::string.
            $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)

function(_parm_common target)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:parm::warnings>)
  target_include_directories(
    ${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
endfunction()

# parm_library(encoder_sum SOURCES a.cc HEADERS a.h PUBLIC ... PRIVATE ...)
# makes library parm_encoder_sum with alias parm::encoder_sum. HEADERS compile
# alone under the target all_verify_interface_header_sets.
function(parm_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;PUBLIC;PRIVATE" ${ARGN})
  set(target parm_${name})
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    _parm_common(${target})
    target_link_libraries(${target} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    target_include_directories(
      ${target} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
    target_link_libraries(${target} INTERFACE ${ARG_PUBLIC})
    set(scope INTERFACE)
  endif()
  if(ARG_HEADERS)
    target_sources(
      ${target} ${scope} FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES
                         ${ARG_HEADERS})
    set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  endif()
  add_library(parm::${name} ALIAS ${target})
endfunction()

# parm_executable(parm-worker SOURCES main.cc PRIVATE parm::backends COMPONENT
# worker): COMPONENT, of `cmake --install`; without it is not installed.
function(parm_executable name)
  cmake_parse_arguments(ARG "" "COMPONENT" "SOURCES;PRIVATE" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  _parm_common(${name})
  target_link_libraries(${name} PRIVATE ${ARG_PRIVATE})
  if(ARG_COMPONENT)
    install(TARGETS ${name} RUNTIME COMPONENT ${ARG_COMPONENT})
  endif()
endfunction()

# For targets whose sources include torch: links LibTorch and reuses one
# precompiled header of torch/torch.h and torch/script.h, which take a quarter
# of a minute a file otherwise.
function(parm_use_torch target)
  if(NOT TARGET parm_torch_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/torch_pch.cc "")
    add_library(parm_torch_pch STATIC ${CMAKE_BINARY_DIR}/torch_pch.cc)
    _parm_common(parm_torch_pch)
    target_link_libraries(parm_torch_pch PUBLIC parm::torch)
    target_precompile_headers(parm_torch_pch PRIVATE <torch/torch.h>
                              <torch/script.h>)
  endif()
  target_link_libraries(${target} PRIVATE parm::torch)
  # The header is compiled with -fPIC; programs would use -fPIE and refuse it.
  get_target_property(type ${target} TYPE)
  if(type STREQUAL EXECUTABLE)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${target} REUSE_FROM parm_torch_pch)
endfunction()

# For the programs of parm_test: reuses one precompiled header of what nearly
# every test includes, and what takes longer to read than most tests to compile.
function(_parm_use_test_headers target)
  if(NOT TARGET parm_test_pch)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_pch.cc CONTENT "")
    add_library(parm_test_pch OBJECT ${CMAKE_BINARY_DIR}/test_pch.cc)
    _parm_common(parm_test_pch)
    target_link_libraries(parm_test_pch PRIVATE absl::statusor GTest::gmock)
    # As programs are compiled.
    set_target_properties(parm_test_pch PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(
      parm_test_pch
      PRIVATE -fPIE -pthread ${PARM_TEST_COMPILE_OPTIONS}
              # A copy of ccache's is as good as a fresh one.
              $<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>)
    target_precompile_headers(
      parm_test_pch PRIVATE <algorithm> <functional> <map> <memory> <optional>
      <string> <vector> <gmock/gmock.h> <gtest/gtest.h>
      # Like that, not by its path: ccache then shares it between checkouts.
      <tests/support/matchers.h>)
  endif()
  # As what some tests link asks for; without it compilers refuse the header.
  target_compile_options(${target} PRIVATE -pthread)
  # Optimising, g++ 12 raises false alarms about std::string, and from a
  # precompiled header it does not know that they are about a system's.
  target_compile_options(
    ${target}
    PRIVATE $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-array-bounds
            -Wno-stringop-overflow>)
  target_precompile_headers(${target} REUSE_FROM parm_test_pch)
endfunction()

# parm_proto(proto_messages envelope.proto ...): generated code without our
# warnings, included as "proto/envelope.pb.h". Not protobuf_generate: that names
# its output after the calling folder, and so loses "proto/".
function(parm_proto name)
  set(target parm_${name})
  set(generated)
  foreach(file ${ARGN})
    cmake_path(ABSOLUTE_PATH file OUTPUT_VARIABLE source)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_SOURCE_DIR}
               OUTPUT_VARIABLE stem)
    cmake_path(REMOVE_EXTENSION stem)
    add_custom_command(
      OUTPUT ${CMAKE_BINARY_DIR}/${stem}.pb.cc ${CMAKE_BINARY_DIR}/${stem}.pb.h
      COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR} --cpp_out
              ${CMAKE_BINARY_DIR} ${source}
      DEPENDS ${source} protobuf::protoc
      VERBATIM)
    list(APPEND generated ${CMAKE_BINARY_DIR}/${stem}.pb.cc)
  endforeach()
  add_library(${target} STATIC ${generated})
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR})
  add_library(parm::${name} ALIAS ${target})
endfunction()

# parm_grpc_service(oip_service grpc_service.proto): the stubs of its services,
# included as "proto/oip/grpc_service.grpc.pb.h". The messages are parm_proto's.
function(parm_grpc_service name file)
  set(target parm_${name})
  cmake_path(ABSOLUTE_PATH file OUTPUT_VARIABLE source)
  cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_SOURCE_DIR}
             OUTPUT_VARIABLE stem)
  cmake_path(REMOVE_EXTENSION stem)
  add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/${stem}.grpc.pb.cc
           ${CMAKE_BINARY_DIR}/${stem}.grpc.pb.h
    COMMAND
      protobuf::protoc -I ${CMAKE_SOURCE_DIR} --grpc_out ${CMAKE_BINARY_DIR}
      --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${source}
    DEPENDS ${source} protobuf::protoc gRPC::grpc_cpp_plugin
    VERBATIM)
  add_library(${target} STATIC ${CMAKE_BINARY_DIR}/${stem}.grpc.pb.cc)
  target_link_libraries(${target} PUBLIC gRPC::grpc++)
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR})
  add_library(parm::${name} ALIAS ${target})
endfunction()

# parm_test(encoder/sum_code_test LINK parm::encoder LABELS unit) builds
# tests/encoder/sum_code_test.cc into one program and one CTest entry.
# SOURCES: further files. TIMEOUT: seconds, default 300 (a sanitizer
# on a busy machine takes ten times as long as usual). ARGS: command line.
# TORCH: the test's own file includes torch.
# PARM_TEST_COMPILE_OPTIONS is set by the sanitizer presets: a test's own file
# is mostly matchers, whose instrumentation takes longer to compile than all of
# the code that it checks.
function(parm_test path)
  cmake_parse_arguments(ARG "TORCH" "TIMEOUT" "SOURCES;LINK;LABELS;ARGS" ${ARGN})
  string(REPLACE "/" "." test ${path})
  string(REPLACE "/" "_" target ${path})
  add_executable(${target} ${CMAKE_SOURCE_DIR}/tests/${path}.cc ${ARG_SOURCES})
  _parm_common(${target})
  target_link_libraries(${target} PRIVATE ${ARG_LINK} GTest::gmock_main)
  target_compile_options(${target} PRIVATE ${PARM_TEST_COMPILE_OPTIONS})
  if(ARG_TORCH)
    parm_use_torch(${target})
  else()
    _parm_use_test_headers(${target})
  endif()
  set_target_properties(
    ${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${test} COMMAND ${target} ${ARG_ARGS})
  parm_test_properties(${test} "${ARG_LABELS}" "${ARG_TIMEOUT}")
endfunction()

# Label, time limit and environment of a CTest entry.
function(parm_test_properties test labels timeout)
  if(NOT labels)
    set(labels unit)
  endif()
  if(NOT timeout)
    set(timeout 300)
  endif()
  set_tests_properties(
    ${test}
    PROPERTIES
      LABELS "${labels}" TIMEOUT ${timeout} ENVIRONMENT
      "PARM_BIN=${CMAKE_BINARY_DIR}/bin;PARM_SOURCE=${CMAKE_SOURCE_DIR};PARM_PYTHON=${PARM_PYTHON};ASAN_OPTIONS=detect_leaks=1;UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1;TSAN_OPTIONS=suppressions=\"${CMAKE_SOURCE_DIR}/tests/tsan.supp\":halt_on_error=1"
  )
endfunction()

# parm_fuzzer(proto/envelope_fuzz LINK parm::proto): tests/PATH.cc defines
# LLVMFuzzerTestOneInput. With PARM_FUZZ (preset fuzz) it becomes a libFuzzer
# program; always it becomes a test that runs the corpus in tests/PATH.corpus/.
function(parm_fuzzer path)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  string(REPLACE "/" "." test ${path})
  string(REPLACE "/" "_" target ${path})
  add_executable(${target} ${CMAKE_SOURCE_DIR}/tests/${path}.cc)
  _parm_common(${target})
  target_link_libraries(${target} PRIVATE ${ARG_LINK})
  set_target_properties(
    ${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(PARM_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${test} COMMAND ${target} -runs=0
                                  ${CMAKE_SOURCE_DIR}/tests/${path}.corpus)
  else()
    target_sources(${target}
                   PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/corpus_main.cc)
    add_test(NAME ${test} COMMAND ${target}
                                  ${CMAKE_SOURCE_DIR}/tests/${path}.corpus)
  endif()
  parm_test_properties(${test} "unit;fuzz" "")
endfunction()

# parm_benchmark(encoder_bench SOURCES ... LINK ...): Google Benchmark program;
# run once, quickly, as a test with the label bench-smoke.
function(parm_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  _parm_common(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} benchmark::benchmark_main)
  if(PARM_BUILD_TESTS)
    add_test(NAME bench.${name} COMMAND ${name} --benchmark_min_time=0.001)
    parm_test_properties(bench.${name} "bench-smoke" 60)
  endif()
endfunction()
