// A stand-in for NVRTC, for where there is none: what it makes of a source is a cubin with a section
// for each of its words and no code, in which the stand-in for the driver finds its kernels.

#include <elf.h>

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace {
constexpr int WRONG = 6, BAD_OPTION = 5;
struct Program {
    std::string source, image, log;
    std::set<std::string> headers;
};

std::set<std::string> words(const std::string& text) {
    std::set<std::string> all;
    std::string word;
    for (char it : text + ' ') {
        if (std::isalnum((unsigned char)it) || it == '_') {
            word += it;
        } else if (!word.empty()) {
            all.insert(std::exchange(word, {}));
        }
    }
    return all;
}

std::string image_of(const std::string& source, unsigned generation) {
    std::string names("\0", 1);
    std::vector<Elf64_Shdr> sections(1);
    for (auto& word : words(source)) {
        Elf64_Shdr section{};
        section.sh_name = (Elf64_Word)names.size();
        section.sh_type = SHT_PROGBITS;
        sections.push_back(section);
        names += ".text." + word + '\0';
    }
    Elf64_Shdr strings{};
    strings.sh_type = SHT_STRTAB;
    strings.sh_offset = sizeof(Elf64_Ehdr);
    strings.sh_size = names.size();
    sections.push_back(strings);
    names.resize((names.size() + 7) / 8 * 8);
    Elf64_Ehdr head{};
    std::memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_ABIVERSION] = 8;
    head.e_machine = 190;
    head.e_flags = generation << 8;
    head.e_shoff = sizeof head + names.size();
    head.e_shentsize = sizeof(Elf64_Shdr);
    head.e_shnum = (Elf64_Half)sections.size();
    head.e_shstrndx = (Elf64_Half)(sections.size() - 1);
    std::string all((const char*)&head, sizeof head);
    all += names;
    all.append((const char*)sections.data(), sections.size() * sizeof(Elf64_Shdr));
    return all;
}
}  // namespace

API nvrtcVersion(int* major, int* minor) {
    *major = 0;
    *minor = 0;
    return 0;
}
API nvrtcCreateProgram(Program** program, const char* source, const char*, int headers,
                       const char* const*, const char* const* names) {
    *program = new Program{source, {}, {}, {names, names + headers}};
    return 0;
}
API nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return 0;
}
API nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    const std::string key = "--gpu-architecture=sm_", include = "#include \"";
    unsigned generation = 0;
    for (int i = 0; i < count; ++i)
        if (!std::strncmp(options[i], key.c_str(), key.size()))
            generation = (unsigned)std::atoi(options[i] + key.size());
    if (generation < 50 || generation > 121) {
        program->log = "no such architecture";
        return BAD_OPTION;
    }
    for (size_t at = 0; (at = program->source.find(include, at)) != std::string::npos;) {
        at += include.size();
        std::string name = program->source.substr(at, program->source.find('"', at) - at);
        if (!program->headers.contains(name)) {
            program->log = "cannot open " + name;
            return WRONG;
        }
    }
    program->image = image_of(program->source, generation);
    return 0;
}
API nvrtcGetProgramLogSize(Program* program, size_t* bytes) {
    *bytes = program->log.size() + 1;
    return 0;
}
API nvrtcGetProgramLog(Program* program, char* log) {
    std::strcpy(log, program->log.c_str());
    return 0;
}
API nvrtcGetCUBINSize(Program* program, size_t* bytes) {
    *bytes = program->image.size();
    return 0;
}
API nvrtcGetCUBIN(Program* program, char* image) {
    std::memcpy(image, program->image.data(), program->image.size());
    return 0;
}
