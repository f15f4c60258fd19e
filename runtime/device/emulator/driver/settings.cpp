#include "settings.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace standin {
namespace {
// What no test means ends it.
[[noreturn]] void wrong(const char* name, const std::string& text) {
    std::fprintf(stderr, "stand-in: %s cannot be read: %s\n", name, text.c_str());
    std::abort();
}

std::string told(const char* name, const char* usual) {
    const char* value = std::getenv(name);
    return value ? value : usual;
}

Settings read() {
    Settings all{};
    std::string part;
    std::istringstream devices(told("STANDIN_DEVICES", "9.0:2048"));
    while (std::getline(devices, part, ',')) {
        Device device{};
        unsigned long long mib = 0;
        if (std::sscanf(part.c_str(), "%d.%d:%llu", &device.major, &device.minor, &mib) != 3)
            wrong("STANDIN_DEVICES", part);
        device.memory = mib << 20;
        all.devices.push_back(device);
    }
    std::istringstream faults(told("STANDIN_FAULTS", ""));
    while (std::getline(faults, part, ',')) {
        unsigned number = 0;
        char what[16];
        unsigned long long nth = 0;
        if (std::sscanf(part.c_str(), "%u:%15[a-z]:%llu", &number, what, &nth) != 3 ||
            number >= all.devices.size())
            wrong("STANDIN_FAULTS", part);
        all.devices[number].faults.push_back({what, nth});
    }
    int major = 0, minor = 0;
    std::string driver = told("STANDIN_DRIVER", "12.8");
    if (std::sscanf(driver.c_str(), "%d.%d", &major, &minor) != 2) wrong("STANDIN_DRIVER", driver);
    all.driver = major * 1000 + minor * 10;
    all.order = std::strtoull(told("STANDIN_ORDER", "0").c_str(), nullptr, 10);
    return all;
}
}  // namespace

int Device::shared() const {
    if (major == 8) return (minor == 0 ? 163 : 99) << 10;
    return (major == 12 ? 99 : 227) << 10;
}

bool Device::fails(const char* what) {
    for (auto& [name, count] : counts) {
        if (name != what) continue;
        ++count;
        for (auto& fault : faults)
            if (fault.what == what && fault.number == count) return true;
        return false;
    }
    counts.push_back({what, 0});
    return fails(what);
}

Settings& settings() {
    static Settings all = read();
    return all;
}
}  // namespace standin
