// MaxSim: for each row of a query its best inner product with a row of a document, summed over the
// query. A block scores one document for one query; documents have the rows that they have, whole or as
// a late-interaction index keeps them.
#include "common.cuh"

constexpr u32 WARPS = 4;
// Groups of 16 query rows that are scored at once.
constexpr u32 GROUPS = 4;
constexpr u32 PARTS = 4;
// Products of a row's numbers that are read before the first is multiplied: memory is far away.
constexpr u32 AHEAD = 4;

// What two of a pair's blocks of 16 bytes are apart in shared memory: an odd multiple of 64 bytes, so
// that rows do not meet in the same banks.
DEVICE u32 row_stride(u32 chunks) { return chunks % 8 == 4 ? chunks : chunks + 4; }

// Rows of whole numbers in half precision, `chunks` units of 16 bytes each.
struct Whole {
    const uint4* rows;
    u32 chunks;
};
struct WholeRow {
    const uint4* at;
};
DEVICE WholeRow row_of(const Whole& it, u64 row) { return {it.rows + row * it.chunks}; }
// What is read of a chunk, and the chunk made of it: all of a row is read before any is made.
DEVICE uint4 read(const Whole&, const WholeRow& row, u32 chunk) { return load_once(row.at + chunk); }
DEVICE uint4 chunk_of(const Whole&, const uint4& read, u32) { return read; }
DEVICE float scale_of(const Whole&, u64) { return 1; }

// Rows as the number of a centroid and, of each number's difference from it, one of a few levels,
// `BITS` bits each, lowest first.
template <u32 BITS>
struct Coded {
    const u8* kept;
    const u32* centroid_of;
    // What a row's products are multiplied with; null is 1.
    const float* scales;
    const uint4* centroids;
    // In shared memory: what a level is multiplied with, by dimension, and the levels.
    const float* spread;
    const float* levels;
    u32 chunks;
};
struct CodedRow {
    const u8* kept;
    const uint4* centroid;
};
struct CodedChunk {
    u32 word;
    uint4 centroid;
};
template <u32 BITS>
DEVICE CodedRow row_of(const Coded<BITS>& it, u64 row) {
    return {it.kept + row * it.chunks * BITS, it.centroids + (u64)it.centroid_of[row] * it.chunks};
}
template <u32 BITS>
DEVICE CodedChunk read(const Coded<BITS>&, const CodedRow& row, u32 chunk) {
    u32 word = BITS == 4 ? ((const u32*)row.kept)[chunk] : ((const u16*)row.kept)[chunk];
    return {word, row.centroid[chunk]};
}
template <u32 BITS>
DEVICE uint4 chunk_of(const Coded<BITS>& it, const CodedChunk& read, u32 chunk) {
    const u32 word = read.word;
    u32 words[4] = {read.centroid.x, read.centroid.y, read.centroid.z, read.centroid.w};
    const float* spread = it.spread + chunk * 8;
    constexpr u32 MASK = (1 << BITS) - 1;
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        float low, high;
        halves(words[i], low, high);
        low = fused(it.levels[(word >> (2 * i * BITS)) & MASK], spread[2 * i], low);
        high = fused(it.levels[(word >> ((2 * i + 1) * BITS)) & MASK], spread[2 * i + 1], high);
        words[i] = to_halves(low, high);
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}
template <u32 BITS>
DEVICE float scale_of(const Coded<BITS>& it, u64 row) {
    return it.scales ? it.scales[row] : 1.0f;
}

// Block x scores pair x: query `pairs[2x]` and document `pairs[2x + 1]`. Rows are `chunks` units of 16
// bytes in half precision, a multiple of four; the rows of query q are query_rows[q] up to
// query_rows[q + 1], of documents likewise. Without rows the score is 0.
template <class Rows>
DEVICE void maxsim(const Rows& documents, const uint4* queries, const u32* query_rows,
                   const u64* document_rows, const u32* pairs, u32 chunks, float* scores) {
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
            const auto b_row = row_of(documents, row0 + row);
            float sums[GROUPS][4];
#pragma unroll
            for (u32 i = 0; i < GROUPS; ++i)
#pragma unroll
                for (u32 v = 0; v < 4; ++v) sums[i][v] = 0;
            for (u32 from = 0; from < chunks; from += AHEAD * PARTS) {
                decltype(read(documents, b_row, 0)) ahead[AHEAD];
#pragma unroll
                for (u32 s = 0; s < AHEAD; ++s) {
                    u32 part = from + s * PARTS;
                    if (part < chunks) ahead[s] = read(documents, b_row, part + t);
                }
#pragma unroll
                for (u32 s = 0; s < AHEAD; ++s) {
                    u32 part = from + s * PARTS;
                    if (part >= chunks) break;
                    uint4 b = chunk_of(documents, ahead[s], part + t);
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
            }
            // A lane's sums are those of two of the eight rows.
            float scales[2];
#pragma unroll
            for (u32 v = 0; v < 2; ++v) {
                u32 of = first + 2 * t + v;
                scales[v] = scale_of(documents, row0 + (of < rows ? of : rows - 1));
            }
#pragma unroll
            for (u32 i = 0; i < GROUPS; ++i) {
#pragma unroll
                for (u32 v = 0; v < 4; ++v) {
                    float value = sums[i][v] * scales[v % 2];
                    best[i][v / 2] = value > best[i][v / 2] ? value : best[i][v / 2];
                }
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
        // One warp adds up, always in the same order.
        if (warp == 0) {
            float sum = 0;
            for (u32 row = lane; row < here; row += LANES) {
                float value = best_of[row];
                for (u32 w = 1; w < WARPS; ++w) {
                    float other = best_of[w * GROUPS * 16 + row];
                    value = other > value ? other : value;
                }
                sum += value;
            }
            for (int lanes = 16; lanes; lanes >>= 1) sum += shuffle_xor(sum, lanes);
            score += sum;
        }
    }
    if (thread() == 0) scores[block_x()] = score;
}

KERNEL void LAUNCH(128, 5) maxsim_f16(const uint4* queries, const u32* query_rows,
                                      const uint4* documents, const u64* document_rows,
                                      const u32* pairs, u32 chunks, float* scores) {
    maxsim(Whole{documents, chunks}, queries, query_rows, document_rows, pairs, chunks, scores);
}

// The same of coded rows. `numbers` are what levels are multiplied with, chunks * 8 of them, and
// behind them 16 levels.
template <u32 BITS>
DEVICE void maxsim_coded(const uint4* queries, const u32* query_rows, const u8* kept,
                         const u32* centroid_of, const float* scales, const uint4* centroids,
                         const float* numbers, const u64* document_rows, const u32* pairs,
                         u32 chunks, float* scores) {
    // Behind what all kernels of MaxSim have there; made known by the first wait of the block.
    uint4* held = (uint4*)shared_memory();
    float* own = (float*)(held + GROUPS * 16 * row_stride(chunks)) + WARPS * GROUPS * 16;
    for (u32 i = thread(); i < chunks * 8 + 16; i += threads()) own[i] = numbers[i];
    Coded<BITS> rows = {kept, centroid_of, scales, centroids, own, own + chunks * 8, chunks};
    maxsim(rows, queries, query_rows, document_rows, pairs, chunks, scores);
}
KERNEL void LAUNCH(128, 4) maxsim_coded_2(const uint4* queries, const u32* query_rows,
                                          const u8* kept, const u32* centroid_of,
                                          const float* scales, const uint4* centroids,
                                          const float* numbers, const u64* document_rows,
                                          const u32* pairs, u32 chunks, float* scores) {
    maxsim_coded<2>(queries, query_rows, kept, centroid_of, scales, centroids, numbers,
                    document_rows, pairs, chunks, scores);
}
KERNEL void LAUNCH(128, 4) maxsim_coded_4(const uint4* queries, const u32* query_rows,
                                          const u8* kept, const u32* centroid_of,
                                          const float* scales, const uint4* centroids,
                                          const float* numbers, const u64* document_rows,
                                          const u32* pairs, u32 chunks, float* scores) {
    maxsim_coded<4>(queries, query_rows, kept, centroid_of, scales, centroids, numbers,
                    document_rows, pairs, chunks, scores);
}
