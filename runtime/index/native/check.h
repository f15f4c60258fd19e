// What FAISS does not check when it reads an index.
#pragma once

#include <cstddef>

#include <faiss/Index.h>

namespace routir {

// A part of memory that a file is mapped to; empty when the index holds everything itself.
struct Span {
    const char *begin = nullptr;
    size_t bytes = 0;
};

// Throws `std::runtime_error` when parts of `index` do not fit each other, so that a search would read
// where there is nothing. Kinds that are not known here are only as safe as FAISS makes them.
//
// Looks at every link of a graph and at every id of an inverted file, but for those in `mapped` when
// they are more than 64 MiB, which are not to be read from disk just for this.
void check_index(const faiss::Index &index, Span mapped);

}  // namespace routir
