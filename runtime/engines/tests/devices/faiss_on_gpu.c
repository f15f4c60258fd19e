// FAISS with indices for GPUs, for tests: the library that was built without them, and in their place
// the processor. Compiled with the path of that library (REAL), and of a file that is there when the
// device is to fail, with what it says then (FAULT).
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

struct RoutirGpuIndex {
    RoutirIndex *index;
};

static void *real(const char *name) {
    static void *library;
    if (library == NULL) library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    return dlsym(library, name);
}
#define REAL_ONE(name) ((__typeof__(&name))real(#name))

// The file that this thread read last: what is placed is read once more.
static _Thread_local char last[4096];

int32_t routir_faiss_interface(void) { return REAL_ONE(routir_faiss_interface)(); }
void routir_faiss_about(char *text, size_t bytes) { REAL_ONE(routir_faiss_about)(text, bytes); }
void routir_faiss_threads(int32_t threads) { REAL_ONE(routir_faiss_threads)(threads); }
int32_t routir_faiss_read(const char *path, int32_t map, RoutirIndex **index, char *message) {
    snprintf(last, sizeof last, "%s", path);
    return REAL_ONE(routir_faiss_read)(path, map, index, message);
}
int32_t routir_faiss_write(const RoutirIndex *index, const char *path, char *message) {
    return REAL_ONE(routir_faiss_write)(index, path, message);
}
int32_t routir_faiss_make(int32_t dimensions, const char *factory, int32_t metric, RoutirIndex **index,
                          char *message) {
    return REAL_ONE(routir_faiss_make)(dimensions, factory, metric, index, message);
}
void routir_faiss_free(RoutirIndex *index) { REAL_ONE(routir_faiss_free)(index); }
int32_t routir_faiss_facts(const RoutirIndex *index, RoutirIndexFacts *facts, char *message) {
    return REAL_ONE(routir_faiss_facts)(index, facts, message);
}
int32_t routir_faiss_describe(const RoutirIndex *index, char *text, size_t bytes, char *message) {
    return REAL_ONE(routir_faiss_describe)(index, text, bytes, message);
}
int32_t routir_faiss_train(RoutirIndex *index, int64_t count, const float *vectors, char *message) {
    return REAL_ONE(routir_faiss_train)(index, count, vectors, message);
}
int32_t routir_faiss_add(RoutirIndex *index, int64_t count, const float *vectors, char *message) {
    return REAL_ONE(routir_faiss_add)(index, count, vectors, message);
}
int32_t routir_faiss_search(const RoutirIndex *index, int64_t count, const float *queries, int64_t limit,
                            const RoutirSearch *how, float *scores, int64_t *positions, char *message) {
    return REAL_ONE(routir_faiss_search)(index, count, queries, limit, how, scores, positions, message);
}

static int32_t failed(char *message) {
    FILE *fault = fopen(FAULT, "r");
    if (fault == NULL) return 0;
    const size_t length = fread(message, 1, MESSAGE_BYTES - 1, fault);
    message[length] = '\0';
    fclose(fault);
    return 2;
}

int32_t routir_faiss_gpu_bytes(const RoutirIndex *index, int32_t half, int64_t *bytes, char *message) {
    char kind[128];
    RoutirIndexFacts facts;
    if (routir_faiss_describe(index, kind, sizeof kind, message) != 0) return 1;
    if (strstr(kind, "HNSW") != NULL) {
        snprintf(message, MESSAGE_BYTES, "FAISS has no index for GPUs of this kind");
        return 1;
    }
    if (routir_faiss_facts(index, &facts, message) != 0) return 1;
    *bytes = facts.vectors * facts.dimensions * (half ? 2 : 4);
    return 0;
}

int32_t routir_faiss_gpu_place(const RoutirIndex *index, const RoutirGpuPlace *place, RoutirGpuIndex **placed,
                               int64_t *bytes, char *message) {
    const int32_t answer = failed(message);
    if (answer != 0) return answer;
    if (routir_faiss_gpu_bytes(index, place->half, bytes, message) != 0) return 1;
    // Somewhat more than was thought.
    *bytes += 1000;
    *placed = malloc(sizeof **placed);
    return REAL_ONE(routir_faiss_read)(last, 0, &(*placed)->index, message);
}

int32_t routir_faiss_gpu_search(RoutirGpuIndex *placed, int64_t count, const float *queries, int64_t limit,
                                int64_t nprobe, float *scores, int64_t *positions, char *message) {
    const int32_t answer = failed(message);
    if (answer != 0) return answer;
    const RoutirSearch how = {.nprobe = nprobe};
    return routir_faiss_search(placed->index, count, queries, limit, &how, scores, positions, message);
}

void routir_faiss_gpu_free(RoutirGpuIndex *placed) {
    routir_faiss_free(placed->index);
    free(placed);
}
