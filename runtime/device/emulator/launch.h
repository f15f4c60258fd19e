// How the emulator finds a kernel, and gives it its arguments: pointers to each.
#pragma once

#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace emulator {
struct Argument {
    u32 bytes;
    bool address;
};
struct Kernel {
    void (*launch)(void** args);
    std::vector<Argument> takes;
};
std::map<std::string, Kernel>& kernels();

template <auto Function>
struct Launcher;
template <class... A, void (*Function)(A...)>
struct Launcher<Function> {
    template <size_t... I>
    static void call(void** args, std::index_sequence<I...>) {
        Function(*(A*)args[I]...);
    }
    static void launch(void** args) { call(args, std::index_sequence_for<A...>()); }
    static Kernel kernel() { return {launch, {{sizeof(A), std::is_pointer_v<A>}...}}; }
};

template <auto Function>
struct Registered {
    explicit Registered(const char* name) { kernels()[name] = Launcher<Function>::kernel(); }
};

// Whether a kernel runs now, and ends its launch with `why`: for a handler of signals.
bool running();
[[noreturn]] void give_up(const char* why);
}  // namespace emulator

#define REGISTER(name) static emulator::Registered<name> registered_##name(#name);
