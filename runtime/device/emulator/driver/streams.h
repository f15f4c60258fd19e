// What is asked of devices, and when it is done: as late as may be. A stream keeps what it was asked
// for until somebody waits for it, or for what waits for it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "codes.h"

namespace standin {
struct Stream;

struct Context {
    int device;
    uint32_t retained = 0;
    // Its first failure, which every later call is answered with.
    Code failed = SUCCESS;
};

struct Operation {
    std::function<Code()> run = {};
    // In place of it: that this stream has done so many.
    std::shared_ptr<Stream> after = {};
    uint64_t done = 0;
    // Memory of the host that it reads or writes.
    uint64_t host = 0, host_bytes = 0;
};

struct Stream {
    Context* context;
    std::deque<Operation> asked;
    uint64_t count = 0, done = 0;
    bool busy = false;
};

struct Event {
    Context* context;
    std::shared_ptr<Stream> stream;
    uint64_t done = 0;
};

std::shared_ptr<Stream> new_stream(Context* context);
void ask(const std::shared_ptr<Stream>& stream, Operation operation);
// Does what the stream was asked for until so many are done.
void go_on(const std::shared_ptr<Stream>& stream, uint64_t done);
// Does all that a device was asked for, by streams that were destroyed, too.
void go_on(Context* context);
// Whether anything is still to be done with this memory of the host.
bool is_waited_for(uint64_t host, uint64_t bytes);
}  // namespace standin
