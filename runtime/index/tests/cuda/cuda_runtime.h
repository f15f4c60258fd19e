// What of CUDA's headers FAISS's and ours mention, for a machine that has none of them: enough to
// compile our calls against FAISS's own headers, and nothing to run.
#pragma once

#include <cstddef>

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
enum cudaError_t { cudaSuccess };
struct dim3 {
    unsigned x, y, z;
};
struct cudaDeviceProp {
    size_t totalGlobalMem;
};
constexpr unsigned cudaEventDisableTiming = 2;

const char *cudaGetErrorString(cudaError_t);
cudaError_t cudaGetDevice(int *);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceCount(int *);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMemGetInfo(size_t *, size_t *);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *, unsigned);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned);
