// A module as the compiler made it: an ELF file with a section per kernel.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace standin {
// What the compiler says of a kernel; 0 and nothing where it does not.
struct Compiled {
    uint32_t most_threads = 0;
    // Sizes of what it takes, in order.
    std::map<uint32_t, uint32_t> takes;
};
struct Image {
    // Of which generation it is, such as 90.
    uint32_t architecture;
    std::map<std::string, Compiled> kernels;
};
// False for what is none.
bool read_image(const void* data, Image& image);
}  // namespace standin
