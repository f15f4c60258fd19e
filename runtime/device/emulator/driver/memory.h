// Memory of devices, and of the host where devices read it. Every block ends before a page that nobody
// may touch, its address is never given again, and nothing in it is a number before it was written.
#pragma once

#include <cstdint>

namespace standin {
constexpr int HOST = -1;

// What a block takes of a device's memory: small ones share pages of 2 MiB, larger ones have their own.
uint64_t counted(uint64_t bytes);
// `owner` is a device's number or HOST. 0 without room.
uint64_t allocate(int owner, uint64_t bytes);
// Gives back the block that begins there. False where none of this owner does.
bool release(int owner, uint64_t address);
// Whether so many bytes there are within one block of this owner.
bool within(int owner, uint64_t address, uint64_t bytes);
// How many blocks there are, how many bytes they have, and what they take of a device.
uint64_t blocks(int owner);
uint64_t taken(int owner);
// The block's size. The address is where one begins.
uint64_t size_of(uint64_t address);
}  // namespace standin
