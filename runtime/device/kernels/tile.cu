// Exact search for many queries at once, in half precision: tiles of queries times vectors on the
// tensor cores, whose scores stay in registers until they are compared with the floor.
#include "candidates.cuh"

constexpr u32 THREADS = 256;
// Numbers of a row that one stage holds: 64 bytes, so that the eight lanes that are served at once
// read 128 bytes in a row, without conflicts.
constexpr u32 DEPTH = 32;
constexpr u32 PARTS = DEPTH / 8;
constexpr u32 STAGES = 4;

// A block of 8 warps, WM x WN, each with MT x NT products of 16 queries and 8 vectors.
//
// The order of the numbers within 32 is the lanes' own: lane (g, t) reads the eight numbers 8t to
// 8t+7 of its rows at once and gives four of them to each of two products. Queries and vectors are
// read alike, and a sum does not mind.
//
// Of the queries the first `resident` times 32 numbers stay in shared memory, as many as there is room
// for: what a tile reads of the second cache would else be a third queries.
template <u32 WM, u32 WN, u32 MT, u32 NT, bool L2>
DEVICE void tile(const uint4* vectors, const float* norms, const uint4* queries,
                 const float* query_norms, u32 first, u32 end, u32 chunks, u32 query_count, u32 k,
                 u32 capacity, const u8* allowed, const u64* floors, u64* buffers, u32 resident) {
    constexpr u32 M = WM * MT * 16, N = WN * NT * 8;
    static_assert(WM * WN * LANES == THREADS && N * PARTS % THREADS == 0, "all threads copy alike");
    const u32 lane = thread() % LANES, warp = thread() / LANES;
    const u32 g = lane / 4, t = lane % 4;
    const u32 wm = warp / WN, wn = warp % WN;
    const u32 query0 = block_x() * M;
    const u32 used = query_count - query0 < M ? query_count - query0 : M;

    uint4* held = (uint4*)shared_memory();
    uint4* stages = held + resident * M * PARTS;
    constexpr u32 STAGE = (M + N) * PARTS;
    Candidates c = begin_candidates((u8*)(stages + STAGES * STAGE),
                                    buffers + ((u64)block_y() * blocks_x() + block_x()) * M * capacity,
                                    M, used, k, capacity, floors ? floors + query0 : nullptr);

    const u32 depths = chunks / PARTS;
    const u32 tiles = (end - first + N - 1) / N;

    const u32 own_row = thread() / PARTS, own_part = thread() % PARTS;
    auto fetch_queries = [&](uint4* to, u32 depth) {
#pragma unroll
        for (u32 i = 0; i < M * PARTS; i += THREADS) {
            u32 row = own_row + i / PARTS;
            if (i + THREADS <= M * PARTS || row < M) {
                u32 query = query0 + (row < used ? row : used - 1);
                copy_ahead(to + thread() + i, queries + ((u64)query * chunks + depth * PARTS + own_part));
            }
        }
    };
    // Waited for with the first stage.
    for (u32 depth = 0; depth < resident; ++depth) fetch_queries(held + depth * M * PARTS, depth);

    // Stages run on over the borders of tiles, so that memory is never waited for twice. A thread
    // copies the same part of every 64th row.
    u32 next_tile = block_y(), next_depth = 0, next_stage = 0;
    auto fetch = [&]() {
        if (next_tile < tiles) {
            uint4* stage = stages + next_stage * STAGE;
            if (next_depth >= resident) fetch_queries(stage, next_depth);
            const u32 chunk = next_depth * PARTS + own_part;
            const u32 row0 = first + next_tile * N + own_row;
#pragma unroll
            for (u32 i = 0; i < N * PARTS; i += THREADS) {
                u32 row = row0 + i / PARTS;
                row = row < end ? row : end - 1;
                copy_ahead(stage + M * PARTS + thread() + i, vectors + ((u64)row * chunks + chunk));
            }
            if (++next_depth == depths) {
                next_depth = 0;
                next_tile += blocks_y();
            }
        }
        next_stage = next_stage + 1 == STAGES ? 0 : next_stage + 1;
        copy_group();
    };
    for (u32 s = 0; s < STAGES - 1; ++s) fetch();

    u32 at_stage = 0;
    for (u32 at_tile = block_y(); at_tile < tiles; at_tile += blocks_y()) {
        float sums[MT][NT][4];
#pragma unroll
        for (u32 i = 0; i < MT; ++i)
#pragma unroll
            for (u32 j = 0; j < NT; ++j)
#pragma unroll
                for (u32 v = 0; v < 4; ++v) sums[i][j][v] = 0;

        for (u32 depth = 0; depth < depths; ++depth) {
            copy_wait<STAGES - 2>();
            sync_block();
            fetch();
            const uint4* stage = stages + at_stage * STAGE;
            at_stage = at_stage + 1 == STAGES ? 0 : at_stage + 1;
            const uint4* a_rows = (depth < resident ? held + depth * M * PARTS : stage) +
                                  (wm * MT * 16 + g) * PARTS + t;
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
                    u32 b0[2] = {b[j].x, b[j].y};
                    multiply(sums[i][j], a0, b0);
                }
#pragma unroll
                for (u32 j = 0; j < NT; ++j) {
                    u32 b1[2] = {b[j].z, b[j].w};
                    multiply(sums[i][j], a1, b1);
                }
            }
        }

        // Which of the lane's vectors may be found, a bit each.
        const u32 row0 = first + at_tile * N + wn * NT * 8 + t * 2;
        u32 found = 0;
        float norm[NT][2];
#pragma unroll
        for (u32 j = 0; j < NT; ++j) {
#pragma unroll
            for (u32 v = 0; v < 2; ++v) {
                u32 row = row0 + j * 8 + v;
                if (row < end && is_allowed(allowed, row)) found |= 1u << (j * 2 + v);
                norm[j][v] = L2 && row < end ? norms[row] : 0;
            }
        }
        // Most scores are below the floor: one comparison of each says whether any of a query's is
        // not, and only then they are looked at one by one. What is not a number is not below.
#pragma unroll
        for (u32 i = 0; i < MT; ++i) {
#pragma unroll
            for (u32 h = 0; h < 2; ++h) {
                const u32 query = (wm * MT + i) * 16 + h * 8 + g;
                const bool asked = query < used;
                const float query_norm = L2 && asked ? query_norms[query0 + query] : 0;
                const float floor = score_of(c.floor[query]);
                bool any = false;
#pragma unroll
                for (u32 j = 0; j < NT; ++j) {
#pragma unroll
                    for (u32 v = 0; v < 2; ++v) {
                        float& score = sums[i][j][h * 2 + v];
                        if (L2) {
                            score = 2 * score - norm[j][v] - query_norm;
                            // A distance is not negative; rounding must not say so.
                            if (score > 0) score = 0;
                        }
                        any |= !(score < floor);
                    }
                }
                if (!any || !asked) continue;
#pragma unroll
                for (u32 j = 0; j < NT; ++j) {
#pragma unroll
                    for (u32 v = 0; v < 2; ++v) {
                        float score = sums[i][j][h * 2 + v];
                        if (!(score < floor) && ((found >> (j * 2 + v)) & 1))
                            offer(c, query, key_of(score, row0 + j * 8 + v));
                    }
                }
            }
        }
        make_room(c, N);
    }
    copy_wait<0>();
    end_candidates(c, used);
}

#define TILED(name, WM, WN, MT, NT, L2, BLOCKS)                                                      \
    KERNEL void LAUNCH(256, BLOCKS)                                                                  \
        name(const uint4* vectors, const float* norms, const uint4* queries,                         \
             const float* query_norms, u32 first, u32 end, u32 chunks, u32 query_count, u32 k,       \
             u32 capacity, const u8* allowed, const u64* floors, u64* buffers, u32 resident) {       \
        tile<WM, WN, MT, NT, L2>(vectors, norms, queries, query_norms, first, end, chunks,           \
                                 query_count, k, capacity, allowed, floors, buffers, resident);      \
    }
// For up to 32 queries, 32 x 256, which memory limits; for more 128 x 256, which take the registers of
// a whole multiprocessor: a warp's 64 x 64 products read half as much shared memory each as 64 x 32.
TILED(tile_f16_ip_32, 1, 8, 2, 4, false, 2)
TILED(tile_f16_l2_32, 1, 8, 2, 4, true, 2)
TILED(tile_f16_ip_128, 2, 4, 4, 8, false, 1)
TILED(tile_f16_l2_128, 2, 4, 4, 8, true, 1)
