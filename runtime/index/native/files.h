// Files of indices: read with a bound on memory, mapped, written to the last byte.
#pragma once

#include <memory>

#include <faiss/Index.h>

namespace routir {

// A file in memory for as long as this lives.
class Mapping;

struct OpenIndex {
    // Before `index`, which may look into it, so that it goes after it.
    std::shared_ptr<Mapping> mapping;
    std::unique_ptr<faiss::Index> index;
};

// Reads an index and checks it; with `map`, vectors, codes, links and lists stay in the file where the
// format allows it (fast-scan codes do not).
OpenIndex read_index(const char *path, bool map);

// Writes an index; when this returns, the bytes are on the disk.
void write_index(const faiss::Index &index, const char *path);

}  // namespace routir
