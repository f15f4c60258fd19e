#include "streams.h"

#include <vector>

#include "settings.h"

namespace standin {
namespace {
// Those with work, also where nobody has them any more.
std::vector<std::shared_ptr<Stream>> with_work;

void do_one(const std::shared_ptr<Stream>& stream) {
    Operation next = std::move(stream->asked.front());
    stream->asked.pop_front();
    stream->busy = true;
    Context& context = *stream->context;
    if (next.after) {
        go_on(next.after, next.done);
    } else if (context.failed == SUCCESS) {
        context.failed = next.run();
    }
    stream->busy = false;
    ++stream->done;
}

uint64_t drawn() {
    static uint64_t state = settings().order;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return state >> 33;
}

// What other streams do meanwhile, if the order is drawn.
void meanwhile() {
    if (!settings().order) return;
    while (drawn() % 2) {
        auto held = with_work;
        if (held.empty()) return;
        auto& other = held[drawn() % held.size()];
        if (!other->busy && !other->asked.empty()) do_one(other);
    }
}

void forget_the_idle() {
    std::erase_if(with_work, [](auto& it) { return it->asked.empty() && !it->busy; });
}
}  // namespace

std::shared_ptr<Stream> new_stream(Context* context) {
    auto stream = std::make_shared<Stream>();
    stream->context = context;
    return stream;
}

void ask(const std::shared_ptr<Stream>& stream, Operation operation) {
    if (stream->asked.empty()) with_work.push_back(stream);
    stream->asked.push_back(std::move(operation));
    ++stream->count;
}

void go_on(const std::shared_ptr<Stream>& stream, uint64_t done) {
    while (stream->done < done && !stream->asked.empty() && !stream->busy) {
        meanwhile();
        if (stream->done < done && !stream->asked.empty()) do_one(stream);
    }
    forget_the_idle();
}

void go_on(Context* context) {
    auto held = with_work;
    for (auto& stream : held)
        if (stream->context == context) go_on(stream, stream->count);
}

bool is_waited_for(uint64_t host, uint64_t bytes) {
    for (auto& stream : with_work)
        for (auto& it : stream->asked)
            if (it.host < host + bytes && host < it.host + it.host_bytes) return true;
    return false;
}
}  // namespace standin
