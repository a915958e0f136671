# Finds the libraries that scripts/bootstrap.sh installs. LibTorch comes from
# the wheel in the virtual environment, as imported targets of our own:
# TorchConfig.cmake would ask for the CUDA toolkit.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC REQUIRED)
find_package(cppzmq REQUIRED)
find_package(simdjson REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(hwy REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Boost 1.81 REQUIRED)
if(PARM_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(PARM_BUILD_TESTS OR PARM_BUILD_EXPERIMENTS)
  find_package(benchmark REQUIRED)
endif()

if(PARM_WITH_CUDA)
  # Data-centre GPUs from 2020 on; later ones translate the last one's PTX.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()

# The virtual environment of scripts/bootstrap.sh.
set(PARM_VENV ${CMAKE_SOURCE_DIR}/.venv)
set(PARM_PYTHON ${PARM_VENV}/bin/python)

if(PARM_WITH_TORCH)
  file(GLOB _torch_dirs ${PARM_VENV}/lib/python3*/site-packages/torch)
  list(LENGTH _torch_dirs _num_torch_dirs)
  if(NOT _num_torch_dirs EQUAL 1)
    message(
      FATAL_ERROR "torch not found under ${PARM_VENV}: run scripts/bootstrap.sh")
  endif()
  set(_torch ${_torch_dirs})
  get_filename_component(_site ${_torch} DIRECTORY)
  foreach(library c10 torch_cpu)
    add_library(parm_${library} SHARED IMPORTED GLOBAL)
    set_target_properties(parm_${library} PROPERTIES IMPORTED_LOCATION
                                                     ${_torch}/lib/lib${library}.so)
  endforeach()
  add_library(parm_torch INTERFACE)
  target_include_directories(
    parm_torch SYSTEM INTERFACE ${_torch}/include
                                ${_torch}/include/torch/csrc/api/include)
  target_link_libraries(parm_torch INTERFACE parm_torch_cpu parm_c10
                                             Threads::Threads)
  target_link_options(
    parm_torch INTERFACE -Wl,-rpath,${_torch}/lib
    -Wl,-rpath-link,${_torch}/lib -Wl,-rpath-link,${_site}/nvidia/cu13/lib)
  add_library(parm::torch ALIAS parm_torch)
endif()
