// Of many sorted lists per query, the best k.
#include "candidates.cuh"

// Keys that a block reads between two looks at its buffer.
constexpr u32 READ = 256;

// Block (x, y) merges, for query x, the lists y * group to y * group + group - 1 of `lists`. List l of
// query q begins at (l * stride_of_list + q * stride_of_query) and has k keys, best first and zero
// where there are no more. What block (x, y) finds begins at (y * blocks_x + x) * k.
KERNEL void LAUNCH(256, 2) merge(const u64* keys, u32 lists, u32 group, u64 stride_of_list,
                                 u64 stride_of_query, u32 k, u32 capacity, u64* out) {
    u64* held = (u64*)shared_memory();
    Candidates c = begin_candidates((u8*)(held + capacity), held, 1, 1, k, capacity, nullptr);
    u32 from = block_y() * group;
    u32 to = from + group < lists ? from + group : lists;
    for (u32 list = from; list < to; ++list) {
        const u64* of_list = keys + list * stride_of_list + block_x() * stride_of_query;
        for (u32 at = 0; at < k; at += READ) {
            // Sorted: what follows is not better.
            if (of_list[at] <= c.floor[0]) break;
            u32 i = at + thread();
            if (thread() < READ && i < k && of_list[i]) offer(c, 0, of_list[i]);
            make_room(c, READ);
        }
    }
    end_candidates(c, 1);
    sync_block();
    u64* result = out + ((u64)block_y() * blocks_x() + block_x()) * k;
    for (u32 i = thread(); i < k; i += threads()) result[i] = held[i];
}

// The floor of each query: the worst of its k results, if there are so many.
KERNEL void LAUNCH(256, 1) floors(const u64* keys, u32 queries, u32 k, u64* out) {
    u32 query = block_x() * threads() + thread();
    if (query < queries) out[query] = keys[(u64)query * k + k - 1];
}
