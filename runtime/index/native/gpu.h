// FAISS's own indices on GPUs. These functions are there only where FAISS was built with CUDA, and a
// library says by having them that it was.
//
// Answers are those of faiss.h, and 2: the device failed, which `message` tells. What it answered since
// is not to be believed, and later calls for it answer 2 at once.
#pragma once

#include "faiss.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RoutirGpuIndex RoutirGpuIndex;

typedef struct {
    int32_t device;
    // Whether numbers of vectors have 16 bits: those of flat indices, and of tables for codes.
    int32_t half;
    // Memory that searches share, taken at once. What does not fit is taken and given back each time.
    int64_t scratch;
} RoutirGpuPlace;

// About how many bytes the index takes there, without `scratch`. Fails for kinds that FAISS has none of.
int32_t routir_faiss_gpu_bytes(const RoutirIndex *index, int32_t half, int64_t *bytes, char *message);
// Copies the index there, which is not needed afterwards. Writes how many bytes it has taken, without
// `scratch`.
int32_t routir_faiss_gpu_place(const RoutirIndex *index, const RoutirGpuPlace *place,
                               RoutirGpuIndex **placed, int64_t *bytes, char *message);
// As routir_faiss_search, by as many threads as like, one after another; `nprobe` 0 is what the index
// was written with. FAISS has no filters there.
int32_t routir_faiss_gpu_search(RoutirGpuIndex *placed, int64_t count, const float *queries,
                                int64_t limit, int64_t nprobe, float *scores, int64_t *positions,
                                char *message);
void routir_faiss_gpu_free(RoutirGpuIndex *placed);

#ifdef __cplusplus
}
#endif
