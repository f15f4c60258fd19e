// The kernels of merge.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/merge.cu"

#include "launch.h"

REGISTER(merge)
REGISTER(floors)
