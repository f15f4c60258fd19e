// Memory, and copies to and from it.

#include <cstring>

#include "calls.h"

using namespace standin;
using Address = uint64_t;

API cuMemAlloc_v2(Address* address, size_t bytes) {
    Call call("cuMemAlloc_v2");
    READY(call);
    if (!bytes) return call.refuse(INVALID_VALUE, "no bytes");
    auto& device = settings().devices[current->device];
    if (device.fails("memory")) return OUT_OF_MEMORY;
    uint64_t free = free_of(current->device);
    if (bytes > free || counted(bytes) > free) return OUT_OF_MEMORY;
    *address = allocate(current->device, bytes);
    return *address ? SUCCESS : OUT_OF_MEMORY;
}
// Waits for the device.
API cuMemFree_v2(Address address) {
    Call call("cuMemFree_v2");
    READY(call);
    go_on(current);
    if (current->failed) return current->failed;
    if (!release(current->device, address))
        return call.refuse(INVALID_VALUE, "%#llx is no block", (unsigned long long)address);
    return SUCCESS;
}
API cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    Call call("cuMemHostAlloc");
    READY(call);
    if (!bytes) return call.refuse(INVALID_VALUE, "no bytes");
    *address = (void*)allocate(HOST, bytes);
    return *address ? SUCCESS : OUT_OF_MEMORY;
}
// Does not wait: nothing says that it does.
API cuMemFreeHost(void* address) {
    Call call("cuMemFreeHost");
    READY(call);
    auto host = (Address)address;
    if (!within(HOST, host, 1))
        return call.refuse(INVALID_VALUE, "%p is no block of pinned memory", address);
    if (is_waited_for(host, size_of(host)))
        undefined("pinned memory is freed that a device is still to copy");
    return release(HOST, host) ? SUCCESS : call.refuse(INVALID_VALUE, "%p begins no block", address);
}

namespace {
Code check(const Call& call, Stream* stream, Address address, size_t bytes) {
    if (!stream_of(stream)) return call.refuse(INVALID_HANDLE, "the stream is none of this context");
    if (!within(current->device, address, bytes))
        return call.refuse(INVALID_VALUE, "%zu bytes at %#llx are no block's", bytes,
                           (unsigned long long)address);
    return SUCCESS;
}
}  // namespace

API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, Stream* stream) {
    Call call("cuMemcpyHtoDAsync_v2");
    READY(call);
    if (auto code = check(call, stream, to, bytes)) return code;
    if (within(HOST, (Address)from, bytes)) {
        auto run = [=] {
            std::memcpy((void*)to, from, bytes);
            return SUCCESS;
        };
        ask(stream_of(stream), {run, nullptr, 0, (Address)from, bytes});
    } else {
        // What is not pinned is copied aside at once.
        std::string kept((const char*)from, bytes);
        auto run = [=] {
            std::memcpy((void*)to, kept.data(), bytes);
            return SUCCESS;
        };
        ask(stream_of(stream), {run});
    }
    return SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, Stream* stream) {
    Call call("cuMemcpyDtoHAsync_v2");
    READY(call);
    if (auto code = check(call, stream, from, bytes)) return code;
    bool pinned = within(HOST, (Address)to, bytes);
    auto run = [=] {
        std::memcpy(to, (const void*)from, bytes);
        return SUCCESS;
    };
    auto own = stream_of(stream);
    ask(own, {run, nullptr, 0, (Address)to, bytes});
    // To what is not pinned, it is a copy that waits.
    if (!pinned) go_on(own, own->count);
    return current->failed;
}
