// Modules, kernels, and running them on the emulator.

#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstring>

#define ROUTIR_EMULATED
#include "../../kernels/common.cuh"
#include "../launch.h"
#include "calls.h"

extern "C" int32_t emulate(const char* kernel, u32 blocks_x, u32 blocks_y, u32 threads, u32 shared,
                           void** args, u32 order, char* message, u32 message_bytes);

namespace standin {
namespace {
pthread_t emulating;
struct sigaction before;

// A kernel that touches what is no memory ends; whatever else meets the signal is its owner's.
void on_signal(int signal, siginfo_t* info, void* more) {
    if (pthread_equal(emulating, pthread_self()) && emulator::running()) {
        char why[64];
        std::snprintf(why, sizeof why, "it touched %p, which is no memory", info->si_addr);
        emulator::give_up(why);
    }
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, more);
    } else {
        sigaction(signal, &before, nullptr);
    }
}
}  // namespace

Code emulate_now(const Function& function, const u32 (&blocks)[2], u32 threads, u32 shared,
                 const std::string& arguments) {
    auto& device = settings().devices[function.module->context->device];
    if (device.fails("launch")) return ILLEGAL_ADDRESS;
    auto& kernel = emulator::kernels().at(function.name);
    std::vector<void*> each;
    size_t at = 0;
    for (auto& it : kernel.takes) {
        each.push_back((void*)(arguments.data() + at));
        at += 8;
        u64 address = 0;
        std::memcpy(&address, each.back(), it.bytes);
        if (it.address && address && !within(function.module->context->device, address, 0)) {
            std::fprintf(stderr, "stand-in: %s was given %#llx, which is no memory of its device\n",
                         function.name.c_str(), address);
            return ILLEGAL_ADDRESS;
        }
    }
    char message[256];
    struct sigaction own {};
    own.sa_sigaction = on_signal;
    own.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    emulating = pthread_self();
    sigaction(SIGSEGV, &own, &before);
    static u32 order = 0;
    order = (order + 1) % 3;
    int failed = emulate(function.name.c_str(), blocks[0], blocks[1], threads, shared, each.data(),
                         order, message, sizeof message);
    sigaction(SIGSEGV, &before, nullptr);
    if (!failed) return SUCCESS;
    std::fprintf(stderr, "stand-in: a kernel failed: %s\n", message);
    return std::strstr(message, "which is no memory") ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
}
}  // namespace standin

using namespace standin;

API cuModuleLoadData(Module** module, const void* data) {
    Call call("cuModuleLoadData");
    READY(call);
    auto made = std::make_unique<Module>();
    made->context = current;
    if (!read_image(data, made->image)) return call.refuse(INVALID_IMAGE, "it is no cubin");
    auto& device = settings().devices[current->device];
    u32 generation = made->image.architecture;
    if (generation / 10 != (u32)device.major || generation % 10 > (u32)device.minor)
        return call.refuse(NO_BINARY_FOR_GPU, "it is for sm_%u", generation);
    *module = made.get();
    state().modules[made.get()] = std::move(made);
    return SUCCESS;
}
API cuModuleUnload(Module* module) {
    Call call("cuModuleUnload");
    READY(call);
    go_on(current);
    if (!state().modules.erase(module)) return call.refuse(INVALID_HANDLE, "it is no module");
    return SUCCESS;
}
API cuModuleGetFunction(Function** function, Module* module, const char* name) {
    Call call("cuModuleGetFunction");
    READY(call);
    auto found = state().modules.find(module);
    if (found == state().modules.end() || module->context != current)
        return call.refuse(INVALID_HANDLE, "the module is none of this context");
    auto compiled = module->image.kernels.find(name);
    auto emulated = emulator::kernels().find(name);
    if (compiled == module->image.kernels.end() || emulated == emulator::kernels().end())
        return NOT_FOUND;
    // What the compiler made takes what the emulator's does.
    auto& takes = emulated->second.takes;
    for (auto& [at, bytes] : compiled->second.takes)
        if (at >= takes.size() || takes[at].bytes != bytes)
            undefined("`%s` takes something else than the emulator's", name);
    auto& own = module->functions[name];
    if (!own) own.reset(new Function{module, name, compiled->second, 48 << 10});
    *function = own.get();
    return SUCCESS;
}

namespace {
bool is_known(Function* function) {
    for (auto& [_, module] : state().modules)
        for (auto& [_, it] : module->functions)
            if (it.get() == function) return module->context == current;
    return false;
}
}  // namespace

API cuFuncSetAttribute(Function* function, int attribute, int value) {
    Call call("cuFuncSetAttribute");
    READY(call);
    if (!is_known(function)) return call.refuse(INVALID_HANDLE, "it is no function");
    // Shared memory that a launch may ask for.
    if (attribute != 8) return call.refuse(INVALID_VALUE, "attribute %d is not known here", attribute);
    int most = settings().devices[current->device].shared();
    if (value < 0 || value > most)
        return call.refuse(INVALID_VALUE, "%d bytes of shared memory; %d are the most", value, most);
    function->shared = (u32)value;
    return SUCCESS;
}
API cuLaunchKernel(Function* function, u32 x, u32 y, u32 z, u32 threads, u32 threads_y,
                   u32 threads_z, u32 shared, Stream* stream, void** arguments, void** extra) {
    Call call("cuLaunchKernel");
    READY(call);
    if (!is_known(function)) return call.refuse(INVALID_HANDLE, "it is no function");
    auto own = stream_of(stream);
    if (!own) return call.refuse(INVALID_HANDLE, "the stream is none of this context");
    const char* name = function->name.c_str();
    if (extra || z != 1 || threads_y != 1 || threads_z != 1)
        return call.refuse(INVALID_VALUE, "%s: the emulator knows no such launch", name);
    if (!x || !y || x > 0x7fffffff || y > 0xffff)
        return call.refuse(INVALID_VALUE, "%s: %u by %u blocks", name, x, y);
    if (!threads || threads > 1024) return call.refuse(INVALID_VALUE, "%s: %u threads", name, threads);
    if (function->compiled.most_threads && threads > function->compiled.most_threads)
        return call.refuse(INVALID_VALUE, "%s: %u threads; it was compiled for %u", name, threads,
                           function->compiled.most_threads);
    if (shared > function->shared)
        return call.refuse(INVALID_VALUE, "%s: %u bytes of shared memory; it may have %u", name, shared,
                           function->shared);
    // They are read now, and not when it runs.
    std::string kept;
    auto& takes = emulator::kernels().at(function->name).takes;
    for (size_t at = 0; at < takes.size(); ++at) {
        u64 value = 0;
        if ((uintptr_t)arguments[at] % takes[at].bytes)
            return call.refuse(INVALID_VALUE, "%s: argument %zu is of another size", name, at);
        std::memcpy(&value, arguments[at], takes[at].bytes);
        kept.append((const char*)&value, 8);
    }
    ++state().launches;
    auto run = [=] { return emulate_now(*function, {x, y}, threads, shared, kept); };
    ask(own, {run});
    return SUCCESS;
}
