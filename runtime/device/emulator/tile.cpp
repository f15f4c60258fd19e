// The kernels of tile.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/tile.cu"

#include "launch.h"

REGISTER(tile_f16_ip_32)
REGISTER(tile_f16_ip_128)
REGISTER(tile_f16_l2_32)
REGISTER(tile_f16_l2_128)
