// What every call of the driver begins with, and what all of them share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "codes.h"
#include "image.h"
#include "memory.h"
#include "settings.h"
#include "streams.h"

#define API extern "C" __attribute__((visibility("default"))) standin::Code

namespace standin {
struct Function {
    struct Module* module;
    std::string name;
    Compiled compiled;
    uint32_t shared;
};
struct Module {
    Context* context;
    Image image;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

// Everything, under one lock.
struct State {
    std::recursive_mutex lock;
    bool begun = false;
    std::map<int, Context> contexts;
    std::map<Stream*, std::shared_ptr<Stream>> streams;
    std::map<Event*, std::unique_ptr<Event>> events;
    std::map<Module*, std::unique_ptr<Module>> modules;
    uint64_t launches = 0;
};
State& state();
extern thread_local Context* current;

// A call: holds the lock, and knows whether there is a driver, a context on this thread, and whether
// that failed.
struct Call {
    const char* name;
    std::lock_guard<std::recursive_mutex> held;
    explicit Call(const char* name) : name(name), held(state().lock) {}

    // SUCCESS where the driver was set up.
    Code begun() const;
    // SUCCESS where there is a context on this thread, and it did not fail.
    Code ready() const;
    // Says on the error output what is wrong with a call, as no call should be: tests look there.
    Code refuse(Code code, const char* format, ...) const __attribute__((format(printf, 3, 4)));
};

// Ends the process for what CUDA leaves undefined.
[[noreturn]] void undefined(const char* format, ...) __attribute__((format(printf, 1, 2)));
// What is left of a device's memory.
uint64_t free_of(int device);
// The stream, if this thread's context has it.
std::shared_ptr<Stream> stream_of(Stream* stream);
// Runs a kernel now. Of `arguments`, what it takes lies behind each other.
Code emulate_now(const Function& function, const uint32_t (&blocks)[2], uint32_t threads,
                 uint32_t shared, const std::string& arguments);
}  // namespace standin

#define BEGUN(call) \
    if (auto code_ = (call).begun()) return code_
#define READY(call) \
    if (auto code_ = (call).ready()) return code_
