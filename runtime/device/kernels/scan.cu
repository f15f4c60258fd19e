// Exact search for few queries at once: vectors stream by, once for all queries of a block, and are
// limited by memory alone. A warp takes four vectors at a time, a lane 16 bytes of each.
#include "candidates.cuh"

constexpr u32 WARPS = 8;
constexpr u32 ROWS = 4;
// Vectors between two looks at the buffers.
constexpr u32 TILE = 256;

// How 16 bytes of a vector are read: as VALUES numbers.
struct Single {
    static constexpr u32 VALUES = 4;
    static constexpr bool SCALED = false;
    DEVICE void read(const uint4& w, float* out) {
        out[0] = float_of_bits(w.x);
        out[1] = float_of_bits(w.y);
        out[2] = float_of_bits(w.z);
        out[3] = float_of_bits(w.w);
    }
};
struct Half {
    static constexpr u32 VALUES = 8;
    static constexpr bool SCALED = false;
    DEVICE void read(const uint4& w, float* out) {
        halves(w.x, out[0], out[1]);
        halves(w.y, out[2], out[3]);
        halves(w.z, out[4], out[5]);
        halves(w.w, out[6], out[7]);
    }
};
struct Byte {
    static constexpr u32 VALUES = 16;
    static constexpr bool SCALED = true;
    DEVICE void read(const uint4& w, float* out) {
        quarters(w.x, out);
        quarters(w.y, out + 4);
        quarters(w.z, out + 8);
        quarters(w.w, out + 12);
    }
};

// Adds the four sums of all lanes; the sum of row r is then on lanes 8r to 8r+7. Every row is added in
// the same order, so that equal vectors have equal scores.
DEVICE float add_lanes(const float* sums, u32 lane) {
    bool upper = lane & 16, odd = lane & 8;
    float a = upper ? sums[2] : sums[0];
    float b = upper ? sums[3] : sums[1];
    a += shuffle_xor(upper ? sums[0] : sums[2], 16);
    b += shuffle_xor(upper ? sums[1] : sums[3], 16);
    float c = odd ? b : a;
    c += shuffle_xor(odd ? a : b, 8);
    c += shuffle_xor(c, 4);
    c += shuffle_xor(c, 2);
    c += shuffle_xor(c, 1);
    return c;
}

// Blocks (x, y): x counts groups of QUERIES queries, so that blocks that read the same vectors run
// together; y shares the vectors out. `chunks` is a vector's length in units of 16 bytes; queries are
// rows of chunks * VALUES numbers. The buffer of query q and share y begins at
// (y * blocks_x * QUERIES + q) * capacity.
template <class Format, u32 QUERIES, bool L2>
DEVICE void scan(const uint4* vectors, const float* scales, const float* queries, u32 first, u32 end,
                 u32 chunks, u32 query_count, u32 k, u32 capacity, const u8* allowed,
                 const u64* floors, u64* buffers) {
    const u32 lane = thread() % LANES, warp = thread() / LANES;
    const u32 steps = (chunks + LANES - 1) / LANES;
    constexpr u32 PARTS = Format::VALUES / 4;
    const u32 query0 = block_x() * QUERIES;
    const u32 used = query_count - query0 < QUERIES ? query_count - query0 : QUERIES;

    // Queries lie so that the lanes of a warp read neighbouring 16 bytes.
    float* held = (float*)shared_memory();
    const u32 per_query = steps * LANES * Format::VALUES;
    for (u32 i = thread(); i < QUERIES * per_query; i += threads()) {
        u32 q = i / per_query, within = i % per_query;
        u32 in4 = within % 4, at_lane = within / 4 % LANES, part = within / 4 / LANES % PARTS;
        u32 chunk = within / (4 * LANES * PARTS) * LANES + at_lane;
        float value = 0;
        if (q < used && chunk < chunks)
            value = queries[(u64)(query0 + q) * chunks * Format::VALUES + chunk * Format::VALUES +
                            part * 4 + in4];
        held[i] = value;
    }
    u8* rest = (u8*)(held + QUERIES * per_query);
    Candidates c = begin_candidates(rest, buffers + ((u64)block_y() * blocks_x() + block_x()) *
                                                        QUERIES * capacity,
                                    QUERIES, used, k, capacity, floors ? floors + query0 : nullptr);

    const u32 tiles = (end - first + TILE - 1) / TILE;
    for (u32 tile = block_y(); tile < tiles; tile += blocks_y()) {
        for (u32 step = 0; step < TILE / (WARPS * ROWS); ++step) {
            u32 row0 = first + tile * TILE + (step * WARPS + warp) * ROWS;
            if (row0 >= end) break;
            u32 wanted = 0;
            float scale[ROWS];
            const uint4* first_row = vectors + (u64)row0 * chunks;
            const u32 rows = end - row0 < ROWS ? end - row0 : ROWS;
#pragma unroll
            for (u32 r = 0; r < ROWS; ++r) {
                u32 row = row0 + r < end ? row0 + r : end - 1;
                if (row0 + r < end && is_allowed(allowed, row)) wanted |= 1u << r;
                scale[r] = Format::SCALED ? scales[row] : 1.0f;
            }
            if (!wanted) continue;
            float sums[QUERIES][ROWS];
#pragma unroll
            for (u32 q = 0; q < QUERIES; ++q)
#pragma unroll
                for (u32 r = 0; r < ROWS; ++r) sums[q][r] = 0;
#pragma unroll(QUERIES > 1 ? 1 : Format::VALUES == 4 ? 2 : 3)
            for (u32 s = 0; s < steps; ++s) {
                u32 chunk = s * LANES + lane;
                const uint4* at = first_row + chunk;
                uint4 words[ROWS];
#pragma unroll
                for (u32 r = 0; r < ROWS; ++r)
                    words[r] = chunk < chunks ? load_once(at + (r < rows ? r : rows - 1) * chunks)
                                              : make_uint4(0, 0, 0, 0);
                float x[ROWS][Format::VALUES];
#pragma unroll
                for (u32 r = 0; r < ROWS; ++r) {
                    Format::read(words[r], x[r]);
                    if (L2 && Format::SCALED) {
#pragma unroll
                        for (u32 v = 0; v < Format::VALUES; ++v) x[r][v] *= scale[r];
                    }
                }
#pragma unroll
                for (u32 q = 0; q < QUERIES; ++q) {
#pragma unroll
                    for (u32 p = 0; p < PARTS; ++p) {
                        float4 y = ((const float4*)held)[((q * steps + s) * PARTS + p) * LANES + lane];
                        float ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
                        for (u32 v = 0; v < 4; ++v) {
#pragma unroll
                            for (u32 r = 0; r < ROWS; ++r) {
                                if (L2) {
                                    float d = ys[v] - x[r][p * 4 + v];
                                    sums[q][r] += d * d;
                                } else {
                                    sums[q][r] += ys[v] * x[r][p * 4 + v];
                                }
                            }
                        }
                    }
                }
            }
            u32 mine = lane / 8;
            float my_scale = mine < 2 ? (mine ? scale[1] : scale[0]) : (mine == 2 ? scale[2] : scale[3]);
#pragma unroll
            for (u32 q = 0; q < QUERIES; ++q) {
                float sum = add_lanes(sums[q], lane);
                if (L2) sum = -sum;
                else if (Format::SCALED) sum *= my_scale;
                if (lane % 8 == 0 && ((wanted >> mine) & 1)) offer(c, q, key_of(sum, row0 + mine));
            }
        }
        make_room(c, TILE);
    }
    end_candidates(c, used);
}

#define SCAN(name, Format, QUERIES, L2, BLOCKS)                                                      \
    KERNEL void LAUNCH(256, BLOCKS)                                                                  \
        name(const uint4* vectors, const float* scales, const float* queries, u32 first, u32 end,    \
             u32 chunks, u32 query_count, u32 k, u32 capacity, const u8* allowed,                    \
             const u64* floors, u64* buffers) {                                                      \
        scan<Format, QUERIES, L2>(vectors, scales, queries, first, end, chunks, query_count, k,      \
                                  capacity, allowed, floors, buffers);                               \
    }
SCAN(scan_f32_ip_1, Single, 1, false, 3)
SCAN(scan_f32_ip_8, Single, 8, false, 2)
SCAN(scan_f32_l2_1, Single, 1, true, 3)
SCAN(scan_f32_l2_8, Single, 8, true, 2)
SCAN(scan_f16_ip_1, Half, 1, false, 3)
SCAN(scan_f16_ip_8, Half, 8, false, 2)
SCAN(scan_f16_l2_1, Half, 1, true, 3)
SCAN(scan_f16_l2_8, Half, 8, true, 2)
SCAN(scan_i8_ip_1, Byte, 1, false, 3)
SCAN(scan_i8_ip_8, Byte, 8, false, 1)
SCAN(scan_i8_l2_1, Byte, 1, true, 3)
SCAN(scan_i8_l2_8, Byte, 8, true, 1)
