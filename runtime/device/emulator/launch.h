// How the emulator finds a kernel, and gives it its arguments: pointers to each.
#pragma once

#include <map>
#include <string>
#include <utility>

namespace emulator {
std::map<std::string, void (*)(void**)>& kernels();

template <auto Kernel>
struct Launcher;
template <class... A, void (*Kernel)(A...)>
struct Launcher<Kernel> {
    template <size_t... I>
    static void call(void** args, std::index_sequence<I...>) {
        Kernel(*(A*)args[I]...);
    }
    static void launch(void** args) { call(args, std::index_sequence_for<A...>()); }
};

template <auto Kernel>
struct Registered {
    explicit Registered(const char* name) { kernels()[name] = Launcher<Kernel>::launch; }
};
}  // namespace emulator

#define REGISTER(name) static emulator::Registered<name> registered_##name(#name);
