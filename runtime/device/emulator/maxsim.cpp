// The kernels of maxsim.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/maxsim.cu"

#include "launch.h"

REGISTER(maxsim_f16)
REGISTER(maxsim_coded_2)
REGISTER(maxsim_coded_4)
