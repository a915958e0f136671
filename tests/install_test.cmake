# Installs the component `frontend` of a build tree into a scratch prefix and
# runs what is there: one program, without LibTorch.
#   cmake -D BUILD=<build tree> -D SCRATCH=<folder> -D VERSION=0.1.0 -P ...
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${SCRATCH})
execute_process(
  COMMAND ${CMAKE_COMMAND} --install ${BUILD} --component frontend --prefix
          ${SCRATCH}
  COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)

file(GLOB_RECURSE installed RELATIVE ${SCRATCH} ${SCRATCH}/*)
list(SORT installed)
set(want bin/parm-frontend share/doc/parm/LICENSE share/doc/parm/README.md)
if(NOT installed STREQUAL want)
  message(FATAL_ERROR "installed: ${installed}, want: ${want}")
endif()

execute_process(
  COMMAND ${SCRATCH}/bin/parm-frontend --version
  OUTPUT_VARIABLE version
  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT version STREQUAL "parm-frontend ${VERSION}")
  message(FATAL_ERROR "version: got '${version}', want ${VERSION}")
endif()

execute_process(
  COMMAND ldd ${SCRATCH}/bin/parm-frontend
  OUTPUT_VARIABLE libraries COMMAND_ERROR_IS_FATAL ANY)
if(libraries MATCHES "torch|libc10|not found")
  message(FATAL_ERROR "links what it should not: ${libraries}")
endif()
file(REMOVE_RECURSE ${SCRATCH})
