// What a device can do at most: copying, and multiplying in half precision. Measurements are shares
// of these.
#include "common.cuh"

// Copies `count` units of 16 bytes.
KERNEL void LAUNCH(256, 4) peak_copy(const uint4* from, uint4* to, u64 count) {
    u64 stride = (u64)blocks_x() * threads();
    for (u64 i = (u64)block_x() * threads() + thread(); i < count; i += stride) to[i] = load_once(from + i);
}

// Each warp multiplies `rounds` times eight independent products. What comes out is written where
// nobody looks, so that it is computed.
KERNEL void LAUNCH(256, 2) peak_multiply(u32 rounds, float* out) {
    float sums[8][4];
    for (u32 i = 0; i < 8; ++i)
        for (u32 v = 0; v < 4; ++v) sums[i][v] = 0;
    u32 a[4] = {thread(), 0, 0, 0}, b[2] = {block_x(), 0};
    for (u32 round = 0; round < rounds; ++round) {
#pragma unroll
        for (u32 i = 0; i < 8; ++i) multiply(sums[i], a, b);
    }
    float sum = 0;
    for (u32 i = 0; i < 8; ++i)
        for (u32 v = 0; v < 4; ++v) sum += sums[i][v];
    out[block_x() * threads() + thread()] = sum;
}
