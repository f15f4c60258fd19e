#include "image.h"

#include <elf.h>

#include <cstring>

namespace standin {
namespace {
constexpr uint16_t CUDA = 190;
// Attributes of a kernel: what they are, how they are written, and the ones that are looked at.
constexpr uint8_t WITH_BYTES = 4, MOST_THREADS = 0x05, TAKES = 0x17;

uint32_t word(const uint8_t* at) {
    uint32_t value;
    std::memcpy(&value, at, 4);
    return value;
}

void read_attributes(const uint8_t* at, const uint8_t* end, Compiled& kernel) {
    while (end - at >= 4) {
        uint8_t format = at[0], what = at[1];
        const uint8_t* value = at + 4;
        uint16_t bytes = format == WITH_BYTES ? (uint16_t)(at[2] | at[3] << 8) : 0;
        if (bytes > end - value) return;
        if (what == MOST_THREADS && bytes >= 12)
            kernel.most_threads = word(value) * word(value + 4) * word(value + 8);
        // Which one in the upper half of its second word; how large in the upper bits of the third.
        if (what == TAKES && bytes >= 12)
            kernel.takes[word(value + 4) & 0xffff] = word(value + 8) >> 18;
        at = value + bytes;
    }
}
}  // namespace

bool read_image(const void* data, Image& image) {
    auto bytes = (const uint8_t*)data;
    auto head = (const Elf64_Ehdr*)data;
    if (std::memcmp(bytes, ELFMAG, SELFMAG) || head->e_machine != CUDA) return false;
    // Since CUDA 12.8 it is written elsewhere for newer generations.
    bool newer = head->e_ident[EI_ABIVERSION] >= 8;
    image.architecture = newer ? head->e_flags >> 8 & 0xff : head->e_flags & 0xff;
    auto sections = (const Elf64_Shdr*)(bytes + head->e_shoff);
    auto names = (const char*)(bytes + sections[head->e_shstrndx].sh_offset);
    const std::string code = ".text.", info = ".nv.info.";
    for (int i = 0; i < head->e_shnum; ++i) {
        std::string name = names + sections[i].sh_name;
        const uint8_t* begin = bytes + sections[i].sh_offset;
        if (name.starts_with(code)) image.kernels[name.substr(code.size())];
        if (name.starts_with(info))
            read_attributes(begin, begin + sections[i].sh_size, image.kernels[name.substr(info.size())]);
    }
    return true;
}
}  // namespace standin
