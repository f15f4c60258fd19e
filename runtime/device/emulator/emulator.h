// Runs the kernels on a processor, to test their logic where there is no device. The twins of what
// kernels/primitives.cuh asks of a device; emulator.cpp has the rest.
//
// The threads of a block are fibres of one thread, which wait where a device's would; blocks run one
// after another. Copies into shared memory happen as late as they may.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define DEVICE static inline
#define OUTLINED static
#define KERNEL extern "C"
#define LAUNCH(threads, blocks)

struct alignas(16) uint4 {
    u32 x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

namespace emulator {
struct Place {
    u32 thread, threads, block[2], blocks[2];
    u8* shared;
};
extern const Place* place;

// Each is told the line of the source, where all meet.
void sync_block(u32 line);
bool sync_block_any(bool value, u32 line);
// Gives `bytes` of each lane's own to its warp, waits for all, and returns lane 0's; lane n's lie
// n * 64 bytes behind.
const u8* exchange(const void* own, u32 bytes, u32 line);
void copy_ahead(void* shared, const void* global);
void copy_group();
void copy_wait(u32 left);
u32 add_shared(u32* place, u32 value);
}  // namespace emulator

DEVICE float float_of_bits(u32 bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
DEVICE u32 float_bits(float value) {
    u32 bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

DEVICE u32 thread() { return emulator::place->thread; }
DEVICE u32 threads() { return emulator::place->threads; }
DEVICE u32 block_x() { return emulator::place->block[0]; }
DEVICE u32 block_y() { return emulator::place->block[1]; }
DEVICE u32 blocks_x() { return emulator::place->blocks[0]; }
DEVICE u32 blocks_y() { return emulator::place->blocks[1]; }
DEVICE u8* shared_memory() { return emulator::place->shared; }

DEVICE void sync_block(u32 line = __builtin_LINE()) { emulator::sync_block(line); }
DEVICE bool sync_block_any(bool value, u32 line = __builtin_LINE()) {
    return emulator::sync_block_any(value, line);
}
DEVICE float shuffle_xor(float value, int lanes, u32 line = __builtin_LINE()) {
    const u8* all = emulator::exchange(&value, 4, line);
    std::memcpy(&value, all + ((thread() % 32) ^ lanes) * 64, 4);
    return value;
}
DEVICE u32 add_shared(u32* place, u32 value) { return emulator::add_shared(place, value); }
DEVICE uint4 load_once(const uint4* from) { return *from; }

DEVICE float half_to_float(u32 half) {
    u32 sign = (half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction / 16777216.0f;
    return sign ? -small : small;
}
DEVICE void halves(u32 word, float& low, float& high) {
    low = half_to_float(word & 0xffff);
    high = half_to_float(word >> 16);
}
DEVICE u32 half_of(float value) {
    u32 bits = float_bits(value), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) return sign | 0x7e00;
    if (rest >= 0x47800000) return sign | 0x7c00;
    if (rest < 0x38800000) {
        // Smaller than the smallest with all its digits: counted in steps of 2^-24, which is exact
        // but for the rounding.
        return sign | (u32)std::nearbyint(std::ldexp(float_of_bits(rest), 24));
    }
    u32 half = (rest - 0x38000000) >> 13, left = rest & 0x1fff;
    if (left > 0x1000 || (left == 0x1000 && (half & 1))) ++half;
    return sign | half;
}
DEVICE float square_root(float value) { return std::sqrt(value); }
DEVICE u32 to_halves(float low, float high) {
    return half_of(low) | half_of(high) << 16;
}
DEVICE float fused(float a, float b, float c) { return std::fma(a, b, c); }
DEVICE void quarters(u32 word, float* out) {
    for (int i = 0; i < 4; ++i) out[i] = (float)(int8_t)(word >> (8 * i));
}

DEVICE void multiply(float* c, const u32* a, const u32* b, u32 line = __builtin_LINE()) {
    u32 own[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const u8* all = emulator::exchange(own, sizeof own, line);
    u32 lane = thread() % 32, g = lane / 4, t = lane % 4;
    // The two numbers that a lane holds in one of its registers.
    auto pair = [&](u32 of_lane, u32 index, float& low, float& high) {
        u32 word;
        std::memcpy(&word, all + of_lane * 64 + index * 4, 4);
        halves(word, low, high);
    };
    for (u32 h = 0; h < 2; ++h) {
        for (u32 v = 0; v < 2; ++v) {
            float sum = c[h * 2 + v];
            for (u32 part = 0; part < 2; ++part) {
                for (u32 s = 0; s < 4; ++s) {
                    float a0, a1, b0, b1;
                    pair(g * 4 + s, h + 2 * part, a0, a1);
                    pair((t * 2 + v) * 4 + s, 4 + part, b0, b1);
                    sum += a0 * b0 + a1 * b1;
                }
            }
            c[h * 2 + v] = sum;
        }
    }
}

DEVICE void copy_ahead(void* shared, const void* global) { emulator::copy_ahead(shared, global); }
DEVICE void copy_group() { emulator::copy_group(); }
template <int LEFT>
DEVICE void copy_wait() {
    emulator::copy_wait(LEFT);
}
