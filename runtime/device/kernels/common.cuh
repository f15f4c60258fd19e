// What all kernels share: numbers, the order of results, and what a thread can ask of its block. The
// same sources are compiled by NVRTC for a device and by a C++ compiler for the emulator.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef ROUTIR_EMULATED
#include "emulator.h"
#else
#include "primitives.cuh"
#endif

constexpr u32 LANES = 32;

// A result as one number: the better score is the greater key, and of equal scores the earlier
// position. No result has the key 0. -0 and 0 are one score; what is not a number comes first, so
// that it is seen and refused.
DEVICE u64 key_of(float score, u32 position) {
    u32 bits = float_bits(score + 0.0f);
    if (score != score) bits = 0x7fffffffu;
    bits ^= (bits >> 31) ? 0xffffffffu : 0x80000000u;
    return ((u64)bits << 32) | (u32)~position;
}

// The score of a key.
DEVICE float score_of(u64 key) {
    u32 bits = (u32)(key >> 32);
    bits ^= (bits >> 31) ? 0x80000000u : 0xffffffffu;
    return float_of_bits(bits);
}

// Whether a position may be found: one bit each, lowest first; without bits, all may.
DEVICE bool is_allowed(const u8* allowed, u32 position) {
    return !allowed || ((allowed[position >> 3] >> (position & 7)) & 1);
}
