// Exact search for many queries at once, in half precision: tiles of queries times vectors on the
// tensor cores, whose scores stay in registers until they are compared with the floor.
#include "candidates.cuh"

// Numbers of a row that one stage holds: 64 bytes, so that the eight lanes that are served at once
// read 128 bytes in a row, without conflicts.
constexpr u32 DEPTH = 32;
constexpr u32 STAGES = 4;

// A block of 8 warps, WM x WN, each with MT x NT products of 16 queries and 8 vectors.
//
// The order of the numbers within 32 is the lanes' own: lane (g, t) reads the eight numbers 8t to
// 8t+7 of its rows at once and gives four of them to each of two products. Queries and vectors are
// read alike, and a sum does not mind.
template <u32 WM, u32 WN, u32 MT, u32 NT, bool L2>
DEVICE void tile(const uint4* vectors, const float* norms, const uint4* queries,
                 const float* query_norms, u32 first, u32 end, u32 chunks, u32 query_count, u32 k,
                 u32 capacity, const u8* allowed, const u64* floors, u64* buffers) {
    constexpr u32 M = WM * MT * 16, N = WN * NT * 8;
    constexpr u32 PARTS = DEPTH / 8;
    const u32 lane = thread() % LANES, warp = thread() / LANES;
    const u32 g = lane / 4, t = lane % 4;
    const u32 wm = warp / WN, wn = warp % WN;
    const u32 query0 = block_x() * M;
    const u32 used = query_count - query0 < M ? query_count - query0 : M;

    uint4* stages = (uint4*)shared_memory();
    constexpr u32 STAGE = (M + N) * PARTS;
    Candidates c = begin_candidates((u8*)(stages + STAGES * STAGE),
                                    buffers + ((u64)block_y() * blocks_x() + block_x()) * M * capacity,
                                    M, used, k, capacity, floors ? floors + query0 : nullptr);

    const u32 depths = chunks / PARTS;
    const u32 tiles = (end - first + N - 1) / N;
    const u32 mine = tiles > block_y() ? (tiles - block_y() + blocks_y() - 1) / blocks_y() : 0;
    const u32 total = mine * depths;

    // Stages run on over the borders of tiles, so that memory is never waited for twice.
    u32 next_tile = block_y(), next_depth = 0;
    auto fetch = [&](u32 step) {
        if (step < total) {
            uint4* stage = stages + step % STAGES * STAGE;
            u32 row0 = first + next_tile * N;
            for (u32 i = thread(); i < STAGE; i += threads()) {
                u32 row = i / PARTS, part = i % PARTS;
                const uint4* from;
                if (row < M) {
                    u32 query = row < used ? row : used - 1;
                    from = queries + (u64)(query0 + query) * chunks;
                } else {
                    u32 at = row0 + row - M;
                    from = vectors + (u64)(at < end ? at : end - 1) * chunks;
                }
                copy_ahead(stage + i, from + next_depth * PARTS + part);
            }
            if (++next_depth == depths) {
                next_depth = 0;
                next_tile += blocks_y();
            }
        }
        copy_group();
    };
    for (u32 s = 0; s < STAGES - 1; ++s) fetch(s);

    float sums[MT][NT][4];
#pragma unroll
    for (u32 i = 0; i < MT; ++i)
#pragma unroll
        for (u32 j = 0; j < NT; ++j)
#pragma unroll
            for (u32 v = 0; v < 4; ++v) sums[i][j][v] = 0;

    u32 depth = 0, at_tile = block_y();
    for (u32 step = 0; step < total; ++step) {
        copy_wait<STAGES - 2>();
        sync_block();
        fetch(step + STAGES - 1);
        const uint4* stage = stages + step % STAGES * STAGE;
        const uint4* a_rows = stage + (wm * MT * 16 + g) * PARTS + t;
        const uint4* b_rows = stage + (M + wn * NT * 8 + g) * PARTS + t;
        uint4 b[NT];
#pragma unroll
        for (u32 j = 0; j < NT; ++j) b[j] = b_rows[j * 8 * PARTS];
#pragma unroll
        for (u32 i = 0; i < MT; ++i) {
            uint4 low = a_rows[i * 16 * PARTS], high = a_rows[(i * 16 + 8) * PARTS];
            u32 a0[4] = {low.x, high.x, low.y, high.y};
            u32 a1[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
            for (u32 j = 0; j < NT; ++j) {
                u32 b0[2] = {b[j].x, b[j].y}, b1[2] = {b[j].z, b[j].w};
                multiply(sums[i][j], a0, b0);
                multiply(sums[i][j], a1, b1);
            }
        }
        if (++depth < depths) continue;
        depth = 0;

        u32 row0 = first + at_tile * N;
        at_tile += blocks_y();
#pragma unroll
        for (u32 j = 0; j < NT; ++j) {
#pragma unroll
            for (u32 v = 0; v < 2; ++v) {
                u32 row = row0 + (wn * NT + j) * 8 + t * 2 + v;
                bool found = row < end && is_allowed(allowed, row);
                float norm = L2 && found ? norms[row] : 0;
#pragma unroll
                for (u32 i = 0; i < MT; ++i) {
#pragma unroll
                    for (u32 h = 0; h < 2; ++h) {
                        u32 query = (wm * MT + i) * 16 + h * 8 + g;
                        float score = sums[i][j][h * 2 + v];
                        sums[i][j][h * 2 + v] = 0;
                        if (!found || query >= used) continue;
                        if (L2) {
                            score = 2 * score - norm - query_norms[query0 + query];
                            // A distance is not negative; rounding must not say so.
                            if (score > 0) score = 0;
                        }
                        offer(c, query, key_of(score, row));
                    }
                }
            }
        }
        make_room(c, N);
    }
    copy_wait<0>();
    end_candidates(c, used);
}

#define TILED(name, WM, WN, MT, NT, L2)                                                              \
    KERNEL void LAUNCH(256, 2)                                                                       \
        name(const uint4* vectors, const float* norms, const uint4* queries,                         \
             const float* query_norms, u32 first, u32 end, u32 chunks, u32 query_count, u32 k,       \
             u32 capacity, const u8* allowed, const u64* floors, u64* buffers) {                     \
        tile<WM, WN, MT, NT, L2>(vectors, norms, queries, query_norms, first, end, chunks,           \
                                 query_count, k, capacity, allowed, floors, buffers);                \
    }
// For up to 32 queries, 32 x 256; for more, 128 x 128.
TILED(tile_f16_ip_32, 1, 8, 2, 4, false)
TILED(tile_f16_l2_32, 1, 8, 2, 4, true)
TILED(tile_f16_ip_128, 2, 4, 4, 4, false)
TILED(tile_f16_l2_128, 2, 4, 4, 4, true)
