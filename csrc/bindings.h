// csrc/bindings.h -- turns a kernel's launcher into a Python function: addresses come as integers, the GIL is let go.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <type_traits>

namespace pyface3d {

template <class A> using from_python = std::conditional_t<std::is_pointer_v<A>, uintptr_t, A>;

template <class A> A argument(from_python<A> value) {
  if constexpr (std::is_pointer_v<A>) {
    return reinterpret_cast<A>(value);
  } else {
    return value;
  }
}

template <class... A> void define(pybind11::module_& m, const char* name, void (*kernel)(A...)) {
  m.def(name, [kernel](from_python<A>... args) {
    pybind11::gil_scoped_release nogil;
    kernel(argument<A>(args)...);
  });
}

}  // namespace pyface3d

// One line per entry point: <name>_f32 and <name>_f64.
#define PF3D_DEFINE(space, name)                              \
  pyface3d::define(m, #name "_f32", &space::name<float>);     \
  pyface3d::define(m, #name "_f64", &space::name<double>)
