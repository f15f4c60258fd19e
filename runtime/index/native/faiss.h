// What the server asks of FAISS. A C interface: nothing is thrown across it.
//
// Functions that can fail answer 0 when they succeed. Otherwise they answer 1 and write why into
// `message`, cut to `MESSAGE_BYTES` with the final zero. An index may be searched by several threads
// at once; training, adding and freeing need it alone.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ROUTIR_FAISS_INTERFACE 1
#define MESSAGE_BYTES 512

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RoutirIndex RoutirIndex;

typedef struct {
    int64_t vectors;
    int32_t dimensions;
    // 0 inner product, 1 squared Euclidean distance, -1 another.
    int32_t metric;
    int32_t trained;
    // Lists of an inverted file; 0 when there is none.
    int64_t lists;
} RoutirIndexFacts;

typedef struct {
    // How many inverted lists are read, how wide a graph is searched, how many times as many are
    // refined as are wanted; 0 is what the index was written with.
    int64_t nprobe;
    int64_t ef_search;
    float k_factor;
    // One bit per vector, lowest first: which may be found. Null: all.
    const uint8_t *allowed;
    size_t allowed_bytes;
} RoutirSearch;

// The version of this interface, ROUTIR_FAISS_INTERFACE.
int32_t routir_faiss_interface(void);
// FAISS's version and what it was compiled with.
void routir_faiss_about(char *text, size_t bytes);
// How many threads calls of this thread may use.
void routir_faiss_threads(int32_t threads);

// Reads an index from a file; `map` leaves on disk what its format allows.
int32_t routir_faiss_read(const char *path, int32_t map, RoutirIndex **index, char *message);
int32_t routir_faiss_write(const RoutirIndex *index, const char *path, char *message);
// An empty index of FAISS's index_factory; metric as in RoutirIndexFacts.
int32_t routir_faiss_make(int32_t dimensions, const char *factory, int32_t metric,
                          RoutirIndex **index, char *message);
void routir_faiss_free(RoutirIndex *index);

int32_t routir_faiss_facts(const RoutirIndex *index, RoutirIndexFacts *facts, char *message);
// What kind of index it is, from the outside in: "IDMap,OPQ,IVF1024,PQ16x4fs".
int32_t routir_faiss_describe(const RoutirIndex *index, char *text, size_t bytes, char *message);

// `vectors` holds `count` rows of the index's dimensions.
int32_t routir_faiss_train(RoutirIndex *index, int64_t count, const float *vectors, char *message);
int32_t routir_faiss_add(RoutirIndex *index, int64_t count, const float *vectors, char *message);
// Writes `count * limit` scores and positions, each query's best first; missing ones are -1.
int32_t routir_faiss_search(const RoutirIndex *index, int64_t count, const float *queries,
                            int64_t limit, const RoutirSearch *how, float *scores,
                            int64_t *positions, char *message);

#ifdef __cplusplus
}
#endif
