#include "memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace standin {
namespace {
constexpr uint64_t PAGE = 4096, ROOM = 1ull << 40;
constexpr uint8_t GUARD = 0xa5;
constexpr uint64_t GUARDED = 64;

struct Block {
    int owner;
    uint64_t bytes, page, end;
};
std::map<uint64_t, Block> live;
uint64_t next, end_of_room;

uint64_t up(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

[[noreturn]] void fail(const char* why) {
    std::fprintf(stderr, "stand-in: %s\n", why);
    std::abort();
}

void give_back(uint64_t address, const Block& block) {
    auto at = (const uint8_t*)address;
    bool whole = true;
    for (const uint8_t* it = at - GUARDED; it < at; ++it) whole &= *it == GUARD;
    for (const uint8_t* it = at + block.bytes; it < (const uint8_t*)block.end; ++it)
        whole &= *it == GUARD;
    if (!whole) fail("something was written beside a block of memory");
    void* gone = mmap((void*)block.page, block.end - block.page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (gone == MAP_FAILED) fail("memory cannot be given back");
}
}  // namespace

uint64_t counted(uint64_t bytes) { return bytes < 1 << 20 ? up(bytes, 512) : up(bytes, 2 << 20); }

uint64_t allocate(int owner, uint64_t bytes) {
    if (!next) {
        void* room = mmap(nullptr, ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) fail("there is no room for addresses");
        next = (uint64_t)room;
        end_of_room = next + ROOM;
    }
    uint64_t used = up(bytes, 16), page = next, end = page + up(used + GUARDED, PAGE);
    if (end + PAGE > end_of_room) fail("all addresses were used");
    if (mprotect((void*)page, end - page, PROT_READ | PROT_WRITE)) return 0;
    next = end + PAGE;
    uint64_t address = end - used;
    std::memset((void*)(address - GUARDED), GUARD, GUARDED);
    std::memset((void*)address, 0xff, bytes);
    std::memset((void*)(address + bytes), GUARD, used - bytes);
    live[address] = {owner, bytes, page, end};
    return address;
}

bool release(int owner, uint64_t address) {
    auto found = live.find(address);
    if (found == live.end() || found->second.owner != owner) return false;
    give_back(address, found->second);
    live.erase(found);
    return true;
}

bool within(int owner, uint64_t address, uint64_t bytes) {
    auto found = live.upper_bound(address);
    if (found == live.begin()) return false;
    --found;
    uint64_t offset = address - found->first;
    const Block& block = found->second;
    return block.owner == owner && offset <= block.bytes && bytes <= block.bytes - offset;
}

uint64_t blocks(int owner) {
    uint64_t count = 0;
    for (auto& [_, block] : live) count += block.owner == owner;
    return count;
}

uint64_t taken(int owner) {
    uint64_t sum = 0;
    for (auto& [_, block] : live) sum += block.owner == owner ? counted(block.bytes) : 0;
    return sum;
}

uint64_t size_of(uint64_t address) { return live.at(address).bytes; }
}  // namespace standin
