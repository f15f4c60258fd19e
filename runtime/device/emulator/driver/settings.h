// What a test asks of the stand-in, by the environment:
//
//   STANDIN_DEVICES  a device each: its compute capability and its MiB, such as 9.0:2048,8.0:640.
//                    Empty: none, as with an empty CUDA_VISIBLE_DEVICES
//   STANDIN_DRIVER   the newest CUDA that it knows, 12.8 unless told
//   STANDIN_FAULTS   what fails: DEVICE:WHAT:NUMBER, such as 0:launch:40,1:context:1. The 40th kernel
//                    of device 0 meets a wrong address. WHAT is `launch`, `memory` (the driver has
//                    none left) or `context` (device 1 cannot be used)
//   STANDIN_ORDER    0, as late as may be, unless told; else what streams do meanwhile is drawn by
//                    this number
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace standin {
struct Fault {
    std::string what;
    uint64_t number;
};
struct Device {
    int major, minor;
    uint64_t memory;
    std::vector<Fault> faults;
    std::vector<std::pair<std::string, uint64_t>> counts;

    // Shared memory that a block may have if it asks for it.
    int shared() const;
    // Counts one more of `what`, and says whether that one fails.
    bool fails(const char* what);
};
struct Settings {
    std::vector<Device> devices;
    int driver;
    uint64_t order;
};
Settings& settings();
}  // namespace standin
