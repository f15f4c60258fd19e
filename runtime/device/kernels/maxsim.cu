// MaxSim: for each row of a query its best inner product with a row of a document, summed over the
// query. A block scores one document for one query; documents have the rows that they have.
#include "common.cuh"

constexpr u32 WARPS = 4;
// Groups of 16 query rows that are scored at once.
constexpr u32 GROUPS = 4;
constexpr u32 PARTS = 4;

// What two of a pair's blocks of 16 bytes are apart in shared memory: an odd multiple of 64 bytes, so
// that rows do not meet in the same banks.
DEVICE u32 row_stride(u32 chunks) { return chunks % 8 == 4 ? chunks : chunks + 4; }

// Block x scores pair x: query `pairs[2x]` and document `pairs[2x + 1]`. Rows are `chunks` units of 16
// bytes in half precision, a multiple of four; the rows of query q are query_rows[q] up to
// query_rows[q + 1], of documents likewise. Without rows the score is 0.
KERNEL void LAUNCH(128, 4) maxsim_f16(const uint4* queries, const u32* query_rows,
                                      const uint4* documents, const u64* document_rows,
                                      const u32* pairs, u32 chunks, float* scores) {
    const u32 lane = thread() % LANES, warp = thread() / LANES;
    const u32 g = lane / 4, t = lane % 4;
    const u32 query = pairs[2 * block_x()], document = pairs[2 * block_x() + 1];
    const u32 query0 = query_rows[query], query_len = query_rows[query + 1] - query0;
    const u64 row0 = document_rows[document];
    const u32 rows = (u32)(document_rows[document + 1] - row0);
    const u32 stride = row_stride(chunks);
    uint4* held = (uint4*)shared_memory();
    // Of each query row the best product of each warp; then, added up.
    float* best_of = (float*)(held + GROUPS * 16 * stride);
    const float none = float_of_bits(0xff800000u);

    float score = 0;
    for (u32 at = 0; at < query_len && rows; at += GROUPS * 16) {
        u32 here = query_len - at < GROUPS * 16 ? query_len - at : GROUPS * 16;
        u32 groups = (here + 15) / 16;
        sync_block();
        for (u32 i = thread(); i < groups * 16 * chunks; i += threads()) {
            u32 row = i / chunks, chunk = i % chunks;
            held[row * stride + chunk] = row < here
                                             ? queries[(u64)(query0 + at + row) * chunks + chunk]
                                             : make_uint4(0, 0, 0, 0);
        }
        sync_block();
        float best[GROUPS][2];
#pragma unroll
        for (u32 i = 0; i < GROUPS; ++i) best[i][0] = best[i][1] = none;
        for (u32 first = warp * 8; first < rows; first += WARPS * 8) {
            // Behind the last row, the last again: the best of the rows stays what it is.
            u32 row = first + g < rows ? first + g : rows - 1;
            const uint4* b_row = documents + (row0 + row) * chunks + t;
            float sums[GROUPS][4];
#pragma unroll
            for (u32 i = 0; i < GROUPS; ++i)
#pragma unroll
                for (u32 v = 0; v < 4; ++v) sums[i][v] = 0;
            for (u32 part = 0; part < chunks; part += PARTS) {
                uint4 b = load_once(b_row + part);
                u32 b0[2] = {b.x, b.y}, b1[2] = {b.z, b.w};
#pragma unroll
                for (u32 i = 0; i < GROUPS; ++i) {
                    if (i < groups) {
                        const uint4* a_row = held + (i * 16 + g) * stride + part + t;
                        uint4 low = a_row[0], high = a_row[8 * stride];
                        u32 a0[4] = {low.x, high.x, low.y, high.y};
                        u32 a1[4] = {low.z, high.z, low.w, high.w};
                        multiply(sums[i], a0, b0);
                        multiply(sums[i], a1, b1);
                    }
                }
            }
#pragma unroll
            for (u32 i = 0; i < GROUPS; ++i) {
#pragma unroll
                for (u32 v = 0; v < 4; ++v)
                    best[i][v / 2] = sums[i][v] > best[i][v / 2] ? sums[i][v] : best[i][v / 2];
            }
        }
        for (u32 i = 0; i < groups; ++i) {
            for (u32 h = 0; h < 2; ++h) {
                float value = best[i][h];
                float other = shuffle_xor(value, 1);
                value = other > value ? other : value;
                other = shuffle_xor(value, 2);
                value = other > value ? other : value;
                if (t == 0) best_of[warp * GROUPS * 16 + i * 16 + h * 8 + g] = value;
            }
        }
        sync_block();
        if (thread() == 0) {
            for (u32 row = 0; row < here; ++row) {
                float value = best_of[row];
                for (u32 w = 1; w < WARPS; ++w) {
                    float other = best_of[w * GROUPS * 16 + row];
                    value = other > value ? other : value;
                }
                score += value;
            }
        }
    }
    if (thread() == 0) scores[block_x()] = score;
}
