// Looks at every access of a kernel to memory, where its source was compiled with -fsanitize=thread and
// -fsanitize=alignment,bounds,shift: the compiler then calls the functions at the end of this file,
// which are elsewhere those of its own libraries.
//
// Between two waits of a whole block its threads run in any order on a device. So no word may be
// written by one and read or written by another between two waits, and none by two blocks of a launch.
// That lanes of a warp exchange numbers orders nothing: only waits do. Shared memory that nobody wrote
// has nothing to read, and what is being copied to is nobody's.

#include <cstdio>
#include <vector>

#define ROUTIR_EMULATED
#include "../kernels/common.cuh"
#include "checks.h"

namespace emulator::checks {
u32 running;
std::string found;

namespace {
// Several threads.
constexpr u32 MANY = ~0u;

// When a word was last written and read, counted in waits of all blocks, and by which thread.
struct Cell {
    uintptr_t address;
    u32 written, writer, read, reader;
    // Of shared memory: which thread copies to it, plus 1.
    u32 copied_by;
    bool added, known;
};
struct Range {
    uintptr_t begin, end;
};

std::vector<Range> ignored;
// Shared memory by words; the device's memory by halves of words, as far as there are places: what
// finds its place taken is forgotten, and so is never told wrongly.
std::vector<Cell> shared;
constexpr u32 PLACES = 1 << 18;
Cell global[PLACES];
uintptr_t shared_begin;
u32 now = 1, launch, block;

void tell(const char* what, uintptr_t address, u32 other = MANY) {
    if (!found.empty()) return;
    found = what;
    found += " by thread " + std::to_string(running);
    if (other != MANY) found += ", the other is thread " + std::to_string(other);
    size_t byte = address - shared_begin;
    found += byte < shared.size() * 4 ? ", at byte " + std::to_string(byte) + " of shared memory"
                                      : ", in the device's memory";
}

void access(Cell& cell, uintptr_t address, bool in_shared, bool write, bool adds) {
    if (in_shared) {
        if (cell.copied_by) tell("what is being copied to is used", address, cell.copied_by - 1);
        if (!write && !cell.known) tell("shared memory that nobody wrote is read", address);
    } else {
        if (cell.written >= launch && cell.written < block)
            tell("what another block wrote is used", address, cell.writer);
        if (write && cell.read >= launch && cell.read < block)
            tell("what another block read is written", address, cell.reader);
    }
    if (cell.written == now && cell.writer != running && !(adds && cell.added))
        tell(write ? "two threads write" : "what another thread wrote is read", address, cell.writer);
    if (write && cell.read == now && cell.reader != running)
        tell("what another thread reads is written", address, cell.reader);
    if (write) {
        cell.written = now;
        cell.writer = running;
        cell.added = adds;
        cell.known = true;
    } else {
        cell.reader = cell.read == now && cell.reader != running ? MANY : running;
        cell.read = now;
    }
}

void access(const void* place, size_t bytes, bool write, bool adds) {
    uintptr_t address = (uintptr_t)place;
    if (address - shared_begin < shared.size() * 4) {
        for (uintptr_t at = address & ~3ull; at < address + bytes; at += 4) {
            size_t word = (at - shared_begin) / 4;
            if (word < shared.size()) access(shared[word], at, true, write, adds);
        }
        return;
    }
    for (const Range& range : ignored)
        if (address >= range.begin && address < range.end) return;
    for (uintptr_t at = address & ~1ull; at < address + bytes; at += 2) {
        Cell& cell = global[(at / 2) % PLACES];
        if (cell.address != at) cell = Cell{at, 0, 0, 0, 0, 0, false, true};
        access(cell, at, false, write, adds);
    }
}
}  // namespace

void ignore(const void* begin, size_t bytes) {
    ignored.push_back({(uintptr_t)begin, (uintptr_t)begin + bytes});
}

void begin_launch() {
    ignored.clear();
    launch = ++now;
}

void begin_block(const u8* memory, u32 bytes) {
    shared_begin = (uintptr_t)memory;
    shared.assign((bytes + 3) / 4, Cell{});
    block = ++now;
}

void met() { ++now; }

void add(u32 thread, const void* place) {
    running = thread;
    access(place, 4, true, true);
}

void copy_begins(u32 thread, const void* to, const void* from) {
    running = thread;
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) tell("a copy is not aligned", (uintptr_t)to);
    access(to, 16, true, false);
    for (size_t i = 0; i < 4; ++i) {
        size_t word = ((uintptr_t)to - shared_begin) / 4 + i;
        if (word < shared.size()) shared[word].copied_by = thread + 1;
    }
}

void copy_ends(u32 thread, const void* to) {
    running = thread;
    for (size_t i = 0; i < 4; ++i) {
        size_t word = ((uintptr_t)to - shared_begin) / 4 + i;
        if (word < shared.size()) shared[word].copied_by = 0;
    }
    access(to, 16, true, false);
}
}  // namespace emulator::checks

using emulator::checks::running;

#define ACCESS(name, bytes, write)                                                                   \
    void name(void* place) { emulator::checks::access(place, bytes, write, false); }
#define ACCESSES(bytes)                                                                              \
    ACCESS(__tsan_read##bytes, bytes, false)                                                         \
    ACCESS(__tsan_write##bytes, bytes, true)                                                         \
    ACCESS(__tsan_unaligned_read##bytes, bytes, false)                                               \
    ACCESS(__tsan_unaligned_write##bytes, bytes, true)

// What compiled kernels call.
extern "C" {
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void* place, size_t bytes) {
    emulator::checks::access(place, bytes, false, false);
}
void __tsan_write_range(void* place, size_t bytes) {
    emulator::checks::access(place, bytes, true, false);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

// The beginning of what each is told: the place in the source.
struct Source {
    const char* file;
    u32 line, column;
};
void told(const char* what, const Source* at) {
    if (!emulator::checks::found.empty()) return;
    char text[256];
    std::snprintf(text, sizeof text, "%s, thread %u, %s:%u", what, running, at->file, at->line);
    emulator::checks::found = text;
}
void __ubsan_handle_type_mismatch_v1(Source* at, void*) { told("an access is not aligned", at); }
void __ubsan_handle_out_of_bounds(Source* at, void*) { told("an index is out of bounds", at); }
void __ubsan_handle_shift_out_of_bounds(Source* at, void*, void*) { told("a shift is too far", at); }
}
