// What FAISS does when CUDA fails. Included before everything else in FAISS's sources for GPUs.
//
// FAISS ends the process then. Here such a failure is thrown, or, where nothing may be thrown, noted.
#pragma once

#include <string>

#include <faiss/impl/FaissAssert.h>

namespace routir {

// Throws what went wrong. Notes it instead in a destructor, or in a function that destructors call;
// then the call goes on, and its answer must not be believed.
void gpu_failed(const char *function, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Whether a device failed, and how.
bool gpu_is_lost(int device, std::string &why);

}  // namespace routir

#undef FAISS_ASSERT
#undef FAISS_ASSERT_MSG
#undef FAISS_ASSERT_FMT

#define ROUTIR_FAILED(...) ::routir::gpu_failed(__PRETTY_FUNCTION__, __FILE__, __LINE__, __VA_ARGS__)
#define FAISS_ASSERT(X)                              \
    do {                                             \
        if (!(X)) ROUTIR_FAILED("'%s' failed", #X);  \
    } while (false)
#define FAISS_ASSERT_MSG(X, MSG)                     \
    do {                                             \
        if (!(X)) ROUTIR_FAILED("%s", MSG);          \
    } while (false)
#define FAISS_ASSERT_FMT(X, FMT, ...)                \
    do {                                             \
        if (!(X)) ROUTIR_FAILED(FMT, __VA_ARGS__);   \
    } while (false)
