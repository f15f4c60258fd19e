// The kernels of vectors.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/vectors.cu"

#include "launch.h"

REGISTER(pool_tokens)
REGISTER(take_queries)
REGISTER(table_vectors)
