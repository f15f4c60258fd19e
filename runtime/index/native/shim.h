// What the files of the C interface share.
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "faiss.h"
#include "files.h"

struct RoutirIndex : routir::OpenIndex {};

#define EXPORTED __attribute__((visibility("default")))

namespace routir {

inline void copy(const std::string &from, char *to, size_t bytes) {
    if (bytes == 0) return;
    const size_t length = std::min(from.size(), bytes - 1);
    std::memcpy(to, from.data(), length);
    to[length] = '\0';
}

// Does `work`; what it throws becomes an answer.
template <class Work>
int32_t guarded(char *message, Work work) {
    try {
        work();
        return 0;
    } catch (const std::bad_alloc &) {
        copy("there is not enough memory for it", message, MESSAGE_BYTES);
    } catch (const std::exception &error) {
        copy(error.what(), message, MESSAGE_BYTES);
    } catch (...) {
        copy("an unknown failure", message, MESSAGE_BYTES);
    }
    return 1;
}

}  // namespace routir
