// Setting up, devices, and contexts.

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "calls.h"

namespace standin {
thread_local Context* current = nullptr;

// Never destroyed: threads may still call at the end.
State& state() {
    static State* all = new State;
    return *all;
}

namespace {
const Named* named(Code code) {
    for (auto& it : NAMES)
        if (it.code == code) return &it;
    return nullptr;
}

Device* device_of(int number) {
    auto& devices = settings().devices;
    return number >= 0 && (size_t)number < devices.size() ? &devices[number] : nullptr;
}

// What a context takes of a device's memory.
constexpr uint64_t OF_CONTEXT = 64 << 20;

void destroy(Context& context) {
    go_on(&context);
    // What is left is gone with it, which nobody here should count on.
    uint64_t left = blocks(context.device);
    if (left) undefined("a context was destroyed with %llu blocks of memory", (unsigned long long)left);
    std::erase_if(state().streams, [&](auto& it) { return it.second->context == &context; });
    std::erase_if(state().events, [&](auto& it) { return it.second->context == &context; });
    std::erase_if(state().modules, [&](auto& it) { return it.second->context == &context; });
}
}  // namespace

Code Call::begun() const { return state().begun ? SUCCESS : NOT_INITIALIZED; }

Code Call::ready() const {
    if (!state().begun) return refuse(NOT_INITIALIZED, "before cuInit");
    if (!current || !current->retained) return refuse(INVALID_CONTEXT, "no context on this thread");
    return current->failed;
}

Code Call::refuse(Code code, const char* format, ...) const {
    char why[512];
    va_list values;
    va_start(values, format);
    std::vsnprintf(why, sizeof why, format, values);
    va_end(values);
    std::fprintf(stderr, "stand-in refuses %s: %s: %s\n", name, named(code)->name, why);
    return code;
}

uint64_t free_of(int device) {
    uint64_t total = settings().devices[device].memory, used = taken(device) + OF_CONTEXT;
    return used < total ? total - used : 0;
}

void undefined(const char* format, ...) {
    char why[512];
    va_list values;
    va_start(values, format);
    std::vsnprintf(why, sizeof why, format, values);
    va_end(values);
    std::fprintf(stderr, "stand-in: %s\n", why);
    std::abort();
}
}  // namespace standin

using namespace standin;

API cuInit(unsigned flags) {
    Call call("cuInit");
    if (flags) return call.refuse(INVALID_VALUE, "flags %u", flags);
    if (settings().devices.empty()) return NO_DEVICE;
    state().begun = true;
    return SUCCESS;
}
API cuDriverGetVersion(int* version) {
    *version = settings().driver;
    return SUCCESS;
}
API cuGetErrorName(Code code, const char** text) {
    auto found = named(code);
    *text = found ? found->name : nullptr;
    return found ? SUCCESS : INVALID_VALUE;
}
API cuGetErrorString(Code code, const char** text) {
    auto found = named(code);
    *text = found ? found->text : nullptr;
    return found ? SUCCESS : INVALID_VALUE;
}

API cuDeviceGetCount(int* count) {
    Call call("cuDeviceGetCount");
    BEGUN(call);
    *count = (int)settings().devices.size();
    return SUCCESS;
}
API cuDeviceGet(int* device, int number) {
    Call call("cuDeviceGet");
    BEGUN(call);
    if (!device_of(number)) return call.refuse(INVALID_DEVICE, "%d", number);
    *device = number;
    return SUCCESS;
}
API cuDeviceGetName(char* name, int bytes, int device) {
    Call call("cuDeviceGetName");
    BEGUN(call);
    if (!device_of(device)) return call.refuse(INVALID_DEVICE, "%d", device);
    std::snprintf(name, (size_t)bytes, "stand-in %d, no GPU", device);
    return SUCCESS;
}
API cuDeviceGetAttribute(int* value, int attribute, int number) {
    Call call("cuDeviceGetAttribute");
    BEGUN(call);
    auto device = device_of(number);
    if (!device) return call.refuse(INVALID_DEVICE, "%d", number);
    switch (attribute) {
        case 1: *value = 1024; return SUCCESS;  // threads of a block
        case 8: *value = 48 << 10; return SUCCESS;  // shared memory of a block
        case 16: *value = 3; return SUCCESS;  // multiprocessors
        case 75: *value = device->major; return SUCCESS;
        case 76: *value = device->minor; return SUCCESS;
        case 97: *value = device->shared(); return SUCCESS;  // shared memory if asked for
        case 115: *value = 1; return SUCCESS;  // pools of memory
        default: return call.refuse(INVALID_VALUE, "attribute %d is not known here", attribute);
    }
}

API cuDevicePrimaryCtxRetain(Context** context, int number) {
    Call call("cuDevicePrimaryCtxRetain");
    BEGUN(call);
    auto device = device_of(number);
    if (!device) return call.refuse(INVALID_DEVICE, "%d", number);
    if (device->fails("context")) return OUT_OF_MEMORY;
    Context& own = state().contexts[number];
    own.device = number;
    ++own.retained;
    *context = &own;
    return SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(int number) {
    Call call("cuDevicePrimaryCtxRelease_v2");
    BEGUN(call);
    auto found = state().contexts.find(number);
    if (found == state().contexts.end() || !found->second.retained)
        return call.refuse(INVALID_CONTEXT, "released more often than retained");
    if (found->second.failed) return found->second.failed;
    if (!--found->second.retained) destroy(found->second);
    return SUCCESS;
}
API cuCtxGetCurrent(Context** context) {
    Call call("cuCtxGetCurrent");
    BEGUN(call);
    *context = current;
    return SUCCESS;
}
API cuCtxSetCurrent(Context* context) {
    Call call("cuCtxSetCurrent");
    BEGUN(call);
    bool known = !context;
    for (auto& [_, own] : state().contexts) known |= &own == context && own.retained;
    if (!known) return call.refuse(INVALID_CONTEXT, "it is none, or was destroyed");
    current = context;
    return SUCCESS;
}
API cuCtxSynchronize() {
    Call call("cuCtxSynchronize");
    READY(call);
    go_on(current);
    return current->failed;
}
API cuMemGetInfo_v2(uint64_t* free, uint64_t* total) {
    Call call("cuMemGetInfo_v2");
    READY(call);
    *total = settings().devices[current->device].memory;
    *free = free_of(current->device);
    return SUCCESS;
}

// For tests: blocks of memory of all devices, their bytes, blocks of the host, streams, events,
// modules, kernels that ran.
extern "C" __attribute__((visibility("default"))) void standin_counts(uint64_t (*counts)[7]) {
    Call call("standin_counts");
    uint64_t held = 0, bytes = 0;
    for (size_t i = 0; i < settings().devices.size(); ++i) {
        held += blocks((int)i);
        bytes += taken((int)i);
    }
    auto& all = state();
    uint64_t now[7] = {held, bytes, blocks(HOST), all.streams.size(), all.events.size(),
                       all.modules.size(), all.launches};
    std::memcpy(counts, now, sizeof now);
}

// NVRTC asks for it where there is a driver, and takes no for an answer.
API cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return INVALID_VALUE;
}
