// The kernels of peaks.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/peaks.cu"

#include "launch.h"

REGISTER(peak_copy)
REGISTER(peak_multiply)
REGISTER(peak_multiply_wide)
