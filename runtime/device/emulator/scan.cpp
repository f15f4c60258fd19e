// The kernels of scan.cu, for the emulator.

#define ROUTIR_EMULATED
#include "../kernels/scan.cu"

#include "launch.h"

REGISTER(scan_f32_ip_1)
REGISTER(scan_f32_ip_8)
REGISTER(scan_f32_l2_1)
REGISTER(scan_f32_l2_8)
REGISTER(scan_f16_ip_1)
REGISTER(scan_f16_ip_8)
REGISTER(scan_f16_l2_1)
REGISTER(scan_f16_l2_8)
REGISTER(scan_i8_ip_1)
REGISTER(scan_i8_ip_8)
REGISTER(scan_i8_l2_1)
REGISTER(scan_i8_l2_8)
