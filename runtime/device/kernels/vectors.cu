// Vectors that never leave the device: the states of tokens become vectors of texts, and those become
// queries.
#include "common.cuh"

// What numbers a model answers: single, half, brain.
constexpr u32 SINGLE = 0, HALF = 1;
// How the states of a text's tokens become one.
constexpr u32 FIRST = 0, LAST = 1, MEAN = 2, MOST = 3;
// How a query is kept.
constexpr u32 AS_IT_IS = 0, IN_HALF = 2;

DEVICE float number_at(const u8* from, u64 at, u32 kind) {
    if (kind == SINGLE) return ((const float*)from)[at];
    u32 bits = ((const u16*)from)[at];
    if (kind != HALF) return float_of_bits(bits << 16);
    float low, high;
    halves(bits, low, high);
    return low;
}

DEVICE bool is_number(float value) { return (float_bits(value) & 0x7f800000u) != 0x7f800000u; }

// The sum of every thread's value, with room for one number per warp; whole block.
DEVICE float sum_of_block(float value, float* of_warps) {
    for (int lanes = 16; lanes; lanes >>= 1) value += shuffle_xor(value, lanes);
    sync_block();
    if (thread() % LANES == 0) of_warps[thread() / LANES] = value;
    sync_block();
    float sum = 0;
    for (u32 warp = 0; warp < threads() / LANES; ++warp) sum += of_warps[warp];
    return sum;
}

// Scales the first `count` numbers in shared memory to length 1; whole block.
DEVICE void scale_to_one(float* held, u32 count, float* of_warps) {
    float own = 0;
    for (u32 i = thread(); i < count; i += threads()) own += held[i] * held[i];
    float length = square_root(sum_of_block(own, of_warps));
    float factor = 1.0f / (length > 1e-12f ? length : 1e-12f);
    for (u32 i = thread(); i < count; i += threads()) held[i] *= factor;
}

// Block x pools text x, whose tokens are the first `counts[x]` of `length` rows of `width` numbers. The
// first `dim` numbers of its vector go to `out[x]`, and whether one is not finite to `bad[x]`. `scale`:
// 1 for length 1 of all numbers, 2 of those that stay, 3 both.
KERNEL void LAUNCH(256, 2) pool_tokens(const u8* states, u32 kind, u32 length, u32 width, u32 dim,
                                       u32 how, u32 scale, const u32* counts, const u64* out,
                                       u32* bad) {
    float* of_warps = (float*)shared_memory();
    float* held = of_warps + 8;
    const u32 count = counts[block_x()];
    const u64 first = (u64)block_x() * length * width;
    for (u32 i = thread(); i < width; i += threads()) {
        float value = 0;
        if (how == FIRST || how == LAST) {
            u32 row = how == LAST ? count - 1 : 0;
            value = number_at(states, first + (u64)row * width + i, kind);
        } else {
            if (how == MOST) value = float_of_bits(0xff800000u);
            for (u32 row = 0; row < count; ++row) {
                float next = number_at(states, first + (u64)row * width + i, kind);
                if (how == MOST) {
                    value = next > value ? next : value;
                } else {
                    value += next;
                }
            }
            if (how != MOST) {
                float by = how == MEAN ? (float)count : square_root((float)count);
                value *= 1.0f / by;
            }
        }
        held[i] = value;
    }
    // A thread scales what it made itself.
    if (scale & 1) scale_to_one(held, width, of_warps);
    if (scale & 2) scale_to_one(held, dim, of_warps);
    float* to = (float*)out[block_x()];
    bool wrong = false;
    for (u32 i = thread(); i < dim; i += threads()) {
        wrong = wrong || !is_number(held[i]);
        to[i] = held[i];
    }
    wrong = sync_block_any(wrong);
    if (thread() == 0) bad[block_x()] = wrong;
}

// Block x takes the `dim` numbers at `from[x]` as query x, a row of `padded` numbers: as they are,
// rounded to half precision, or in half precision. `norms[x]` is its squared length, and `bad[x]`
// whether a number is not finite or not held in half precision.
KERNEL void LAUNCH(256, 2) take_queries(const u64* from, u32 dim, u32 padded, u32 as, u8* out,
                                        float* norms, u32* bad) {
    float* of_warps = (float*)shared_memory();
    const float* vector = (const float*)from[block_x()];
    float square = 0;
    bool wrong = false;
    for (u32 i = thread(); i < padded; i += threads()) {
        float value = i < dim ? vector[i] : 0.0f;
        u32 half = as == AS_IT_IS ? 0 : half_of(value);
        if (as != AS_IT_IS) {
            float high;
            halves(half, value, high);
        }
        wrong = wrong || !is_number(value);
        square += value * value;
        u64 at = (u64)block_x() * padded + i;
        if (as == IN_HALF) {
            ((u16*)out)[at] = (u16)half;
        } else {
            ((float*)out)[at] = value;
        }
    }
    square = sum_of_block(square, of_warps);
    wrong = sync_block_any(wrong);
    if (thread() == 0) {
        norms[block_x()] = square;
        bad[block_x()] = wrong;
    }
}

// Block x makes the vector of table x out of query `pairs[2x]`, less centre `pairs[2x + 1]` unless that
// is ~0. A query has `dim` numbers, a centre takes `stride`.
KERNEL void LAUNCH(256, 2) table_vectors(const float* queries, const float* centres, u32 stride,
                                         const u32* pairs, u32 dim, float* out) {
    const float* query = queries + (u64)pairs[2 * block_x()] * dim;
    const u32 number = pairs[2 * block_x() + 1];
    const float* centre = centres + (u64)number * stride;
    for (u32 i = thread(); i < dim; i += threads())
        out[(u64)block_x() * dim + i] = number == ~0u ? query[i] : query[i] - centre[i];
}
