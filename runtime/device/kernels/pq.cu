// Search in product-quantised codes: each number of a code picks a summand out of a table.
#include "candidates.cuh"

constexpr u32 TILE = 256;

// A run of vectors that is searched with one table.
struct Item {
    u32 table;
    // Added to every score.
    float bias;
    // From a multiple of 32; `end` is behind the last.
    u32 first, end;
};

// The tables: block (x, y) makes part y of table x, for all codes. A summand is the inner product of
// the part of the vector with the code's, or minus their squared distance. Parts from `parts` on are
// there to fill words up, and add nothing.
KERNEL void LAUNCH(256, 1) pq_tables(const float* vectors, const float* codebooks, u32 parts,
                                     u32 codes, u32 width, u32 l2, float* tables) {
    u32 part = block_y();
    float* table = tables + ((u64)block_x() * blocks_y() + part) * codes;
    const float* vector = vectors + ((u64)block_x() * parts + part) * width;
    for (u32 code = thread(); code < codes; code += threads()) {
        float sum = 0;
        if (part < parts) {
            const float* of_code = codebooks + ((u64)part * codes + code) * width;
            for (u32 i = 0; i < width; ++i) {
                if (l2) {
                    float d = vector[i] - of_code[i];
                    sum -= d * d;
                } else {
                    sum += vector[i] * of_code[i];
                }
            }
        }
        table[code] = sum;
    }
}

// Blocks (x, y): query x, share y. Codes lie in groups of 32 vectors; of each group first the first
// words of all its vectors, then their second ones, so that the lanes of a warp, one per vector, read
// neighbouring words. A word holds 32 / BITS parts, lowest first. `ids`, unless null, says which
// position a vector has. The buffer of query x and share y begins at (y * blocks_x + x) * capacity.
template <u32 BITS>
DEVICE void pq_scan(const u32* codes, const u32* ids, const Item* items, const u32* items_of,
                    const float* tables, u32 words, u32 table_in_shared, u32 k, u32 capacity,
                    const u8* allowed, const u64* floors, u64* buffers) {
    constexpr u32 PER_WORD = 32 / BITS, CODES = 1 << BITS;
    const u32 lane = thread() % LANES, warp = thread() / LANES;
    const u32 query = block_x();
    const u64 table_size = (u64)words * PER_WORD * CODES;

    float* held = (float*)shared_memory();
    u8* rest = (u8*)(held + (table_in_shared ? table_size : 0));
    Candidates c = begin_candidates(rest, buffers + ((u64)block_y() * blocks_x() + query) * capacity, 1,
                                    1, k, capacity, floors ? floors + query : nullptr);
    const float* table = held;
    u32 held_table = ~0u, tile = 0;
    for (u32 at = items_of[query]; at < items_of[query + 1]; ++at) {
        Item item = items[at];
        u32 tiles = (item.end - item.first + TILE - 1) / TILE;
        for (u32 i = 0; i < tiles; ++i, ++tile) {
            if (tile % blocks_y() != block_y()) continue;
            if (held_table != item.table) {
                held_table = item.table;
                const float* from = tables + item.table * table_size;
                if (table_in_shared) {
                    sync_block();
                    for (u64 j = thread(); j < table_size; j += threads()) held[j] = from[j];
                    sync_block();
                } else {
                    table = from;
                }
            }
            u32 row = item.first + i * TILE + warp * LANES + lane;
            if (row < item.end) {
                u32 position = ids ? ids[row] : row;
                if (is_allowed(allowed, position)) {
                    const u32* word = codes + (u64)(row / LANES) * words * LANES + lane;
                    float sum = 0;
                    const float* of_part = table;
#pragma unroll 4
                    for (u32 w = 0; w < words; ++w) {
                        u32 bits = word[w * LANES];
#pragma unroll
                        for (u32 p = 0; p < PER_WORD; ++p) {
                            sum += of_part[bits & (CODES - 1)];
                            bits >>= BITS;
                            of_part += CODES;
                        }
                    }
                    offer(c, 0, key_of(item.bias + sum, position));
                }
            }
            make_room(c, TILE);
        }
    }
    end_candidates(c, 1);
}

#define PQ(name, BITS)                                                                               \
    KERNEL void LAUNCH(256, 2)                                                                       \
        name(const u32* codes, const u32* ids, const Item* items, const u32* items_of,               \
             const float* tables, u32 words, u32 table_in_shared, u32 k, u32 capacity,               \
             const u8* allowed, const u64* floors, u64* buffers) {                                   \
        pq_scan<BITS>(codes, ids, items, items_of, tables, words, table_in_shared, k, capacity,      \
                      allowed, floors, buffers);                                                     \
    }
PQ(pq_scan_4, 4)
PQ(pq_scan_8, 8)
