// The kernels of pq.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/pq.cu"

#include "launch.h"

REGISTER(pq_tables)
REGISTER(pq_scan_4)
REGISTER(pq_scan_8)
