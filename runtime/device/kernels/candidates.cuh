// The best k of many results, per block and query: what beats the floor goes into a buffer; when a
// buffer could overflow, the block sorts it, keeps the k best, and the worst of those is the floor.
// Scores themselves are written nowhere.
#pragma once
#include "common.cuh"

struct Candidates {
    // A row of `capacity` keys per query, this block's own.
    u64* buffer;
    // Per query, in shared memory.
    u64* floor;
    u32* count;
    // `capacity` keys in shared memory to sort in.
    u64* scratch;
    u32 queries, k, capacity;
};

// Shared memory of it.
DEVICE u64 candidates_bytes(u32 queries, u32 capacity) {
    return (u64)capacity * 8 + (u64)queries * 12 + 16;
}

// Places it at `shared` and starts it; whole block. `floors`, unless null, are keys per query that
// are known to be beaten by k results elsewhere. Queries from `used` on take nothing.
DEVICE Candidates begin_candidates(u8* shared, u64* buffer, u32 queries, u32 used, u32 k,
                                   u32 capacity, const u64* floors) {
    Candidates c;
    c.buffer = buffer;
    c.scratch = (u64*)shared;
    c.floor = c.scratch + capacity;
    c.count = (u32*)(c.floor + queries);
    c.queries = queries;
    c.k = k;
    c.capacity = capacity;
    for (u32 q = thread(); q < queries; q += threads()) {
        c.floor[q] = q < used ? (floors ? floors[q] : 0) : ~0ull;
        c.count[q] = 0;
    }
    sync_block();
    return c;
}

// Any thread, as long as there is room.
DEVICE void offer(const Candidates& c, u32 query, u64 key) {
    if (key > c.floor[query]) {
        u32 at = add_shared(&c.count[query], 1);
        c.buffer[(u64)query * c.capacity + at] = key;
    }
}

// Sorts `size` keys, a power of two, the greatest first; whole block, which is in step.
DEVICE void sort_keys(u64* keys, u32 size) {
    for (u32 run = 2; run <= size; run <<= 1) {
        for (u32 stride = run >> 1; stride; stride >>= 1) {
            for (u32 i = thread(); i < size / 2; i += threads()) {
                u32 low = 2 * i - (i & (stride - 1));
                u32 high = low + stride;
                u64 a = keys[low], b = keys[high];
                if ((a < b) == ((low & run) == 0)) {
                    keys[low] = b;
                    keys[high] = a;
                }
            }
            sync_block();
        }
    }
}

// Keeps the k best of a query, sorted; whole block, in step before and after.
OUTLINED void keep_best(Candidates c, u32 query) {
    u64* buffer = c.buffer + (u64)query * c.capacity;
    u32 count = c.count[query];
    u32 size = 2;
    while (size < count) size <<= 1;
    for (u32 i = thread(); i < size; i += threads()) c.scratch[i] = i < count ? buffer[i] : 0;
    sync_block();
    sort_keys(c.scratch, size);
    u32 kept = count < c.k ? count : c.k;
    for (u32 i = thread(); i < kept; i += threads()) buffer[i] = c.scratch[i];
    if (thread() == 0) {
        c.count[query] = kept;
        if (count >= c.k && c.scratch[c.k - 1] > c.floor[query]) c.floor[query] = c.scratch[c.k - 1];
    }
    sync_block();
}

// Makes sure that each query can take `coming` more; whole block.
DEVICE void make_room(const Candidates& c, u32 coming) {
    sync_block();
    bool full = false;
    for (u32 q = thread(); q < c.queries; q += threads()) full |= c.count[q] + coming > c.capacity;
    if (!sync_block_any(full)) return;
    for (u32 q = 0; q < c.queries; ++q) {
        if (c.count[q] + coming > c.capacity) keep_best(c, q);
    }
    sync_block();
}

// Leaves the k best of the first `used` queries at the beginning of their buffers, the rest of the k
// zero; whole block.
DEVICE void end_candidates(const Candidates& c, u32 used) {
    sync_block();
    for (u32 q = 0; q < used; ++q) {
        keep_best(c, q);
        u64* buffer = c.buffer + (u64)q * c.capacity;
        for (u32 i = c.count[q] + thread(); i < c.k; i += threads()) buffer[i] = 0;
    }
}
