// See gpu_faults.h.
#include "gpu_faults.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>

#include <cuda_runtime.h>

#include <faiss/impl/FaissException.h>

namespace {

struct Lost {
    std::mutex guard;
    // What went wrong first, by device.
    std::map<int, std::string> devices;
};

Lost &lost() {
    static Lost it;
    return it;
}

// Functions that destructors of FAISS call, besides destructors.
bool must_not_throw(const char *function) {
    if (std::uncaught_exceptions() > 0) return true;
    for (const char *part : {"~", "dealloc", "returnAlloc", "CurrentDevice"}) {
        if (std::strstr(function, part) != nullptr) return true;
    }
    return false;
}

}  // namespace

namespace routir {

bool gpu_is_lost(int device, std::string &why) {
    std::lock_guard<std::mutex> hold(lost().guard);
    const auto found = lost().devices.find(device);
    if (found == lost().devices.end()) return false;
    why = found->second;
    return true;
}

void gpu_failed(const char *function, const char *file, int line, const char *format, ...) {
    std::array<char, 256> text{};
    va_list values;
    va_start(values, format);
    std::vsnprintf(text.data(), text.size(), format, values);
    va_end(values);

    const bool quiet = must_not_throw(function);
    // A check of FAISS's own that failed on a device that is well costs its call alone. In a place that
    // throws nothing the call could not be told, so the device counts as lost.
    const bool cuda = std::strncmp(format, "CUDA error", 10) == 0;
    if (cuda || quiet || cudaDeviceSynchronize() != cudaSuccess) {
        int device = 0;
        cudaGetDevice(&device);
        std::lock_guard<std::mutex> hold(lost().guard);
        lost().devices.try_emplace(device, text.data());
    }
    if (!quiet) throw faiss::FaissException(text.data(), function, file, line);
}

}  // namespace routir
