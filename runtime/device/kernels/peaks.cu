// What a device can do at most: copying, and multiplying in half precision. Measurements are shares
// of these.
#include "common.cuh"

// Copies `count` units of 16 bytes.
KERNEL void LAUNCH(256, 4) peak_copy(const uint4* from, uint4* to, u64 count) {
    const u64 stride = (u64)blocks_x() * threads();
    u64 i = (u64)block_x() * threads() + thread();
    for (; i + 3 * stride < count; i += 4 * stride) {
        uint4 held[4];
#pragma unroll
        for (u32 s = 0; s < 4; ++s) held[s] = load_once(from + i + s * stride);
#pragma unroll
        for (u32 s = 0; s < 4; ++s) to[i + s * stride] = held[s];
    }
    for (; i < count; i += stride) to[i] = load_once(from + i);
}

// Two numbers of half precision from 1 to 2 that nobody can foresee: zeros are multiplied faster, since
// they take less power.
DEVICE u32 some_halves(u32 seed) {
    seed = (seed ^ (seed >> 15)) * 0x2c1b3c6du;
    return ((seed ^ (seed >> 13)) & 0x03ff03ffu) | 0x3c003c00u;
}

// Each warp multiplies `rounds` times eight independent products of 16 x 16 and 16 x 8, as searches do.
// What comes out is written where nobody looks, so that it is computed.
KERNEL void LAUNCH(256, 2) peak_multiply(u32 rounds, float* out) {
    float sums[8][4];
    for (u32 i = 0; i < 8; ++i)
        for (u32 v = 0; v < 4; ++v) sums[i][v] = 0;
    const u32 own = (block_x() * threads() + thread()) * 8;
    u32 a[4], b[8][2];
    for (u32 i = 0; i < 4; ++i) a[i] = some_halves(own + i);
    for (u32 i = 0; i < 16; ++i) b[i / 2][i % 2] = some_halves(own * 3 + i);
    for (u32 round = 0; round < rounds; ++round) {
#pragma unroll
        for (u32 i = 0; i < 8; ++i) multiply(sums[i], a, b[i]);
    }
    float sum = 0;
    for (u32 i = 0; i < 8; ++i)
        for (u32 v = 0; v < 4; ++v) sum += sums[i][v];
    out[block_x() * threads() + thread()] = sum;
}

// As many operations in the way that is the device's fastest, if that is another; `rounds` is even.
KERNEL void LAUNCH(256, 2) peak_multiply_wide(u32 rounds, float* out) {
#ifdef WIDE_PRODUCTS
    u32* held = (u32*)shared_memory();
    for (u32 i = thread(); i < 2048; i += threads()) held[i] = some_halves(block_x() * 2048 + i);
    // Seen by the tensor cores, which read another way.
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_block();
    float sums[64];
#pragma unroll
    for (u32 i = 0; i < 64; ++i) sums[i] = 0;
    const u64 a = matrix_at(held), b = matrix_at(held + 1024);
    begin_wide();
    for (u32 round = 0; round < rounds; round += 2) multiply_wide(sums, a, b);
    end_wide();
    float sum = 0;
#pragma unroll
    for (u32 i = 0; i < 64; ++i) sum += sums[i];
    out[block_x() * threads() + thread()] = sum;
#else
    (void)rounds;
    out[block_x() * threads() + thread()] = 0;
#endif
}
