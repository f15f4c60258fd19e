// What a device would do only sometimes, and an emulator never: races. See checks.cpp.
#pragma once

#include <string>

namespace emulator::checks {
// Where fibres, and what they give each other, lie: no memory of a kernel's.
void ignore(const void* begin, size_t bytes);
void begin_launch();
void begin_block(const u8* shared, u32 bytes);
// All threads of the block have met.
void met();
// A thread adds to a word that others may add to as well.
void add(u32 thread, const void* place);
// A copy of 16 bytes into shared memory begins, and is done.
void copy_begins(u32 thread, const void* to, const void* from);
void copy_ends(u32 thread, const void* to);
// The thread that runs, and what was found first.
extern u32 running;
extern std::string found;
}  // namespace emulator::checks
