# The CPU kernels, once per instruction set. Each set is a module of its own, so that no inline function
# compiled for AVX-512 can be picked by the linker for the baseline; pyface3d.ops loads the best one the machine runs.
file(GLOB PYFACE3D_CPU_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/cpu/*.cpp)

function(pyface3d_cpu_module name)
  pybind11_add_module(${name} MODULE NO_EXTRAS csrc/bindings_cpu.cpp ${PYFACE3D_CPU_SOURCES})
  target_include_directories(${name} PRIVATE csrc)
  target_compile_definitions(${name} PRIVATE PF3D_MODULE=${name})
  target_link_libraries(${name} PRIVATE Threads::Threads)
  set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PYFACE3D_OUTPUT})
  if(MSVC)
    target_compile_options(${name} PRIVATE /O2 /W4 /fp:precise ${ARGN})
  else()
    # Contraction off: an edge function must give the same value wherever it is inlined, or meshes leak pixels.
    # GCC 12's SLP vectoriser fuses a difference beside a sum into one FMA even so; without it the sets agree to the bit.
    target_compile_options(${name} PRIVATE -O3 -ffp-contract=off -fno-tree-slp-vectorize -fno-math-errno
      -fno-trapping-math -Wall -Wextra ${ARGN})
    if(PYFACE3D_WERROR)
      target_compile_options(${name} PRIVATE -Werror)
    endif()
    if(PYFACE3D_SANITIZE)
      target_compile_options(${name} PRIVATE -fsanitize=${PYFACE3D_SANITIZE} -fno-omit-frame-pointer -g)
      target_link_options(${name} PRIVATE -fsanitize=${PYFACE3D_SANITIZE})
    endif()
  endif()
endfunction()

pyface3d_cpu_module(_cpu_baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT MSVC)
  pyface3d_cpu_module(_cpu_avx2 -mavx2 -mfma -mbmi -mbmi2 -mlzcnt)
  pyface3d_cpu_module(_cpu_avx512 -mavx2 -mfma -mbmi -mbmi2 -mlzcnt
    -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
endif()
