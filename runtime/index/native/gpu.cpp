// See gpu.h.
#include "gpu.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>

#include <cuda_runtime.h>

#include <faiss/IndexFlat.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/gpu/GpuCloner.h>
#include <faiss/gpu/GpuClonerOptions.h>
#include <faiss/gpu/GpuIndexIVF.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/gpu/utils/DeviceUtils.h>

#include "gpu_faults.h"
#include "shim.h"

struct RoutirGpuIndex {
    int device = 0;
    // Before `index`, whose memory it holds, so that it goes after it.
    faiss::gpu::StandardGpuResources resources;
    std::unique_ptr<faiss::Index> index;
    // Its inverted file, if it has one, and how many lists that reads unless told.
    faiss::gpu::GpuIndexIVF *inverted = nullptr;
    size_t nprobe = 0;
    // FAISS searches an index on a GPU for one caller at a time.
    std::mutex alone;
};

namespace {

constexpr int32_t LOST = 2;
// What CUDA rounds each piece of memory up to.
constexpr int64_t PIECE = 256;

int64_t rounded(int64_t bytes, int64_t step) { return (bytes + step - 1) / step * step; }

// Does `work` on a device, unless that failed before.
template <class Work>
int32_t on_device(int device, char *message, Work work) {
    std::string why;
    int32_t answer = LOST;
    if (!routir::gpu_is_lost(device, why)) {
        answer = routir::guarded(message, work);
        if (routir::gpu_is_lost(device, why)) answer = LOST;
    }
    if (answer == LOST) routir::copy(why, message, MESSAGE_BYTES);
    return answer;
}

// Rows and a norm of each.
int64_t flat_bytes(const faiss::Index &index, bool half) {
    return index.ntotal * (index.d * (half ? 2 : 4) + 4);
}

int64_t bytes_of(const faiss::Index *index, bool half) {
    if (auto *it = dynamic_cast<const faiss::IndexPreTransform *>(index)) return bytes_of(it->index, half);
    if (auto *it = dynamic_cast<const faiss::IndexIDMap *>(index)) return bytes_of(it->index, half);
    if (dynamic_cast<const faiss::IndexFlat *>(index) != nullptr) return flat_bytes(*index, half);
    if (auto *it = dynamic_cast<const faiss::IndexScalarQuantizer *>(index)) {
        if (it->sq.qtype == faiss::ScalarQuantizer::QT_fp16) return flat_bytes(*index, true);
    }
    auto *codes = dynamic_cast<const faiss::IndexIVFPQ *>(index);
    const bool known = codes != nullptr || dynamic_cast<const faiss::IndexIVFFlat *>(index) != nullptr ||
                       dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(index) != nullptr;
    // FAISS would find out later, with memory taken that nobody gives back.
    if (!known) throw std::invalid_argument("FAISS has no index for GPUs of this kind");
    auto *inverted = dynamic_cast<const faiss::IndexIVF *>(index);
    if (dynamic_cast<const faiss::IndexFlat *>(inverted->quantizer) == nullptr) {
        throw std::invalid_argument("FAISS has inverted files on GPUs only over a flat quantizer");
    }
    int64_t bytes = flat_bytes(*inverted->quantizer, false);
    // Centroids of codes lie there twice, in two orders.
    if (codes != nullptr) bytes += 2 * static_cast<int64_t>(codes->pq.ksub) * codes->d * 4;
    for (size_t list = 0; list < inverted->nlist; list++) {
        const auto count = static_cast<int64_t>(inverted->invlists->list_size(list));
        // Vectors, other than codes, go by groups of as many as a warp has threads.
        const int64_t places = codes != nullptr ? count : rounded(count, 32);
        bytes += rounded(places * static_cast<int64_t>(inverted->code_size), PIECE);
        bytes += rounded(count * static_cast<int64_t>(sizeof(faiss::idx_t)), PIECE);
    }
    return bytes;
}

// Refuses what does not fit before anything is taken: FAISS does not give back what it had when it
// found out.
void check_room(int64_t bytes) {
    size_t left = 0, all = 0;
    const cudaError_t answer = cudaMemGetInfo(&left, &all);
    if (answer != cudaSuccess) throw std::runtime_error(cudaGetErrorString(answer));
    if (static_cast<size_t>(bytes) > left) {
        throw std::runtime_error("it needs " + std::to_string(bytes) + " bytes, and the device has " +
                                 std::to_string(left) + " left");
    }
}

// What was taken, but for the memory that searches share.
int64_t bytes_taken(const RoutirGpuIndex &placed) {
    int64_t bytes = 0;
    const std::string shared = faiss::gpu::allocTypeToString(faiss::gpu::AllocType::TemporaryMemoryBuffer);
    for (const auto &[device, kinds] : placed.resources.getMemoryInfo()) {
        for (const auto &[kind, pieces] : kinds) {
            if (kind != shared) bytes += static_cast<int64_t>(pieces.second);
        }
    }
    return bytes;
}

faiss::gpu::GpuIndexIVF *inverted_file(faiss::Index *index) {
    if (auto *it = dynamic_cast<faiss::IndexPreTransform *>(index)) return inverted_file(it->index);
    if (auto *it = dynamic_cast<faiss::IndexIDMap *>(index)) return inverted_file(it->index);
    return dynamic_cast<faiss::gpu::GpuIndexIVF *>(index);
}

void check_device(int device) {
    int count = 0;
    const cudaError_t answer = cudaGetDeviceCount(&count);
    if (answer != cudaSuccess) {
        throw std::runtime_error(std::string("CUDA finds no device: ") + cudaGetErrorString(answer));
    }
    if (device < 0 || device >= count) throw std::invalid_argument("CUDA has no device of this number");
}

}  // namespace

extern "C" {

EXPORTED int32_t routir_faiss_gpu_bytes(const RoutirIndex *index, int32_t half, int64_t *bytes,
                                        char *message) {
    return routir::guarded(message, [&] { *bytes = bytes_of(index->index.get(), half != 0); });
}

EXPORTED int32_t routir_faiss_gpu_place(const RoutirIndex *index, const RoutirGpuPlace *place,
                                        RoutirGpuIndex **placed, int64_t *bytes, char *message) {
    std::unique_ptr<RoutirGpuIndex> made;
    const int32_t answer = on_device(place->device, message, [&] {
        check_device(place->device);
        const faiss::gpu::DeviceScope scope(place->device);
        check_room(bytes_of(index->index.get(), place->half != 0) + place->scratch);
        made = std::make_unique<RoutirGpuIndex>();
        made->device = place->device;
        made->resources.setTempMemory(static_cast<size_t>(place->scratch));
        // Only of use for queries by the hundred megabytes.
        made->resources.setPinnedMemory(0);
        faiss::gpu::GpuClonerOptions options;
        options.useFloat16 = place->half != 0;
        made->index.reset(
            faiss::gpu::index_cpu_to_gpu(&made->resources, place->device, index->index.get(), &options));
        made->inverted = inverted_file(made->index.get());
        if (made->inverted != nullptr) made->nprobe = made->inverted->nprobe;
        *bytes = bytes_taken(*made);
    });
    if (answer == 0) *placed = made.release();
    // What lies on a device that failed stays there, as in `routir_faiss_gpu_free`.
    if (answer == LOST) (void)made.release();
    return answer;
}

EXPORTED int32_t routir_faiss_gpu_search(RoutirGpuIndex *placed, int64_t count, const float *queries,
                                         int64_t limit, int64_t nprobe, float *scores,
                                         int64_t *positions, char *message) {
    std::lock_guard<std::mutex> hold(placed->alone);
    return on_device(placed->device, message, [&] {
        if (placed->inverted != nullptr) {
            placed->inverted->nprobe =
                nprobe > 0 ? std::min<size_t>(nprobe, placed->inverted->nlist) : placed->nprobe;
        }
        placed->index->search(count, queries, limit, scores, positions);
    });
}

EXPORTED void routir_faiss_gpu_free(RoutirGpuIndex *placed) {
    std::string why;
    // Memory of a device that failed cannot be given back; the process ends before it is used again.
    if (placed == nullptr || routir::gpu_is_lost(placed->device, why)) return;
    // Others may have found out first.
    if (cudaSetDevice(placed->device) != cudaSuccess || cudaDeviceSynchronize() != cudaSuccess) return;
    delete placed;
}
}
