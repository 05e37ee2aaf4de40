// tests/cuda_emulation/context.h -- from one stack to another. ucontext asks the kernel about signals at every switch;
// on x86-64 seven moves do (the registers that a call keeps, System V ABI), which makes the tests ten times as fast.
#pragma once
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace emulation {

#if defined(__x86_64__) && !defined(__CET__)

struct Context {
  void* stack_pointer = nullptr;
};

__attribute__((naked, noinline)) inline void switch_context(Context*, const Context*) {
  asm("pushq %rbp\n\t pushq %rbx\n\t pushq %r12\n\t pushq %r13\n\t pushq %r14\n\t pushq %r15\n\t"
      "movq %rsp, (%rdi)\n\t movq (%rsi), %rsp\n\t"
      "popq %r15\n\t popq %r14\n\t popq %r13\n\t popq %r12\n\t popq %rbx\n\t popq %rbp\n\t ret");
}

// `entry` never returns.
inline void make_context(Context* context, char* stack, size_t bytes, void (*entry)()) {
  uintptr_t* top = reinterpret_cast<uintptr_t*>((reinterpret_cast<uintptr_t>(stack) + bytes) & ~uintptr_t(15));
  *--top = 0;  // where `entry` would return to; with it, the stack is as aligned as after a call
  *--top = reinterpret_cast<uintptr_t>(entry);
  top -= 6;
  context->stack_pointer = top;
}

#else

struct Context {
  ucontext_t registers{};
};

inline void switch_context(Context* from, const Context* to) { swapcontext(&from->registers, &to->registers); }

inline void make_context(Context* context, char* stack, size_t bytes, void (*entry)()) {
  getcontext(&context->registers);
  context->registers.uc_stack.ss_sp = stack;
  context->registers.uc_stack.ss_size = bytes;
  context->registers.uc_link = nullptr;
  makecontext(&context->registers, entry, 0);
}

#endif

}  // namespace emulation
