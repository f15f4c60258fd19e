// The emulator behind emulator.h: blocks, fibres, and what they wait for.
//
// Shared memory has the size that was asked for, begins full of what is no number, and is looked at
// for writes beyond its end. Where threads wait for each other and cannot meet, or meet at different
// places of the code, the launch fails. What checks.cpp finds makes it fail, too.

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define ROUTIR_EMULATED
#include "../kernels/common.cuh"
#include "checks.h"
#include "launch.h"

namespace emulator {
const Place* place;

namespace {
constexpr u32 STACK = 128 * 1024;
constexpr u32 MOST_THREADS = 1024;
constexpr u32 GUARD = 4096;

struct Copy {
    void* to;
    const void* from;
};
enum class State { Ready, AtWarp, AtBlock, Done };
struct Fibre {
    // How it begins, and where it goes on after it waited or ended: jumps are faster than contexts,
    // which ask the system. One that began runs the same thread of all later blocks, too.
    ucontext_t context;
    jmp_buf at;
    bool begun = false;
    Place place;
    State state;
    u32 phase;
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> open;
};
struct Warp {
    u32 arrived;
    // The line where the first of them waits.
    u32 line;
    u8 given[2][32][64];
};

// Where they are does not change.
Fibre fibres[MOST_THREADS];
Warp warps[MOST_THREADS / 32];
u8* stacks;
jmp_buf scheduler;
u32 count, current, at_block, done;
bool any_next, any_now;
bool in_fibre, given_up;
void (*body)(void**);
void** arguments;
std::string failure;
u32 line_of_block;

// Threads that wait for each other do so at the same place.
void same(u32 arrived, u32& first, u32 line) {
    if (arrived == 0) first = line;
    if (first != line) failure = "threads wait for each other at different places";
}

void wait(State state) {
    Fibre& own = fibres[current];
    own.state = state;
    if (!_setjmp(own.at)) _longjmp(scheduler, 1);
}

void run_fibre() {
    while (true) {
        body(arguments);
        Fibre& own = fibres[current];
        if (!own.open.empty() || !own.groups.empty()) {
            for (auto& group : own.groups)
                if (!group.empty()) failure = "a thread ended with copies under way";
        }
        own.state = State::Done;
        ++done;
        if (!_setjmp(own.at)) _longjmp(scheduler, 1);
    }
}

// Lets a fibre run until it waits or ends.
void go_on(u32 thread) {
    Fibre& fibre = fibres[thread];
    if (_setjmp(scheduler)) {
        in_fibre = false;
        return;
    }
    in_fibre = true;
    if (fibre.begun) _longjmp(fibre.at, 1);
    fibre.begun = true;
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = stacks + (size_t)thread * STACK;
    fibre.context.uc_stack.ss_size = STACK;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, run_fibre, 0);
    setcontext(&fibre.context);
}

void release_block() {
    any_now = any_next;
    any_next = false;
    at_block = 0;
    checks::met();
    for (u32 i = 0; i < count; ++i)
        if (fibres[i].state == State::AtBlock) fibres[i].state = State::Ready;
}

bool run_block(u32 order) {
    while (done < count) {
        bool moved = false;
        for (u32 i = 0; i < count; ++i) {
            // Another order of threads must not change anything.
            u32 next = order == 0 ? i : order == 1 ? count - 1 - i : (i * 77 + 13) % count;
            if (fibres[next].state != State::Ready) continue;
            moved = true;
            current = next;
            place = &fibres[next].place;
            checks::running = next;
            go_on(next);
            if (given_up) return false;
        }
        if (!moved) {
            if (failure.empty()) failure = "threads wait for what others never reach";
            return false;
        }
    }
    return true;
}
}  // namespace

void sync_block(u32 line) {
    same(at_block, line_of_block, line);
    if (++at_block + done == count) {
        if (done) failure = "threads ended before others waited for them";
        release_block();
    } else {
        wait(State::AtBlock);
    }
}

bool sync_block_any(bool value, u32 line) {
    any_next |= value;
    sync_block(line);
    return any_now;
}

const u8* exchange(const void* own, u32 bytes, u32 line) {
    Fibre& fibre = fibres[current];
    Warp& warp = warps[current / 32];
    u32 phase = fibre.phase ^= 1;
    std::memcpy(warp.given[phase][current % 32], own, bytes);
    same(warp.arrived, warp.line, line);
    if (++warp.arrived == 32) {
        warp.arrived = 0;
        for (u32 i = current / 32 * 32; i < current / 32 * 32 + 32; ++i)
            if (fibres[i].state == State::AtWarp) fibres[i].state = State::Ready;
    } else {
        wait(State::AtWarp);
    }
    return warp.given[phase][0];
}

void copy_ahead(void* shared, const void* global) {
    checks::copy_begins(current, shared, global);
    fibres[current].open.push_back({shared, global});
}
void copy_group() {
    Fibre& own = fibres[current];
    own.groups.push_back(std::move(own.open));
    own.open.clear();
}
void copy_wait(u32 left) {
    auto& groups = fibres[current].groups;
    while (groups.size() > left) {
        for (auto& copy : groups.front()) {
            checks::copy_ends(current, copy.to);
            std::memcpy(copy.to, copy.from, 16);
        }
        groups.erase(groups.begin());
    }
}

u32 add_shared(u32* place, u32 value) {
    checks::add(current, place);
    u32 was = *place;
    *place += value;
    return was;
}

std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

bool running() { return in_fibre; }
void give_up(const char* why) {
    failure = why;
    given_up = true;
    _longjmp(scheduler, 1);
}
}  // namespace emulator

// Launches `kernel`; answers 0, or 1 with the reason in `message`. Not for several threads at once.
extern "C" int32_t emulate(const char* kernel, u32 blocks_x, u32 blocks_y, u32 threads, u32 shared,
                           void** args, u32 order, char* message, u32 message_bytes) {
    using namespace emulator;
    auto fail = [&](const std::string& why) {
        std::snprintf(message, message_bytes, "%s: %s", kernel, why.c_str());
        return 1;
    };
    auto found = kernels().find(kernel);
    if (found == kernels().end()) return fail("there is no such kernel");
    if (threads == 0 || threads % 32) return fail("threads must be whole warps");
    if (threads > MOST_THREADS) return fail("there are too many threads");
    if (!stacks) stacks = new u8[(size_t)MOST_THREADS * STACK];
    body = found->second.launch;
    arguments = args;
    failure.clear();
    checks::begin_launch();
    checks::ignore(&place, sizeof place);
    checks::ignore(fibres, sizeof fibres);
    checks::ignore(warps, sizeof warps);
    checks::ignore(stacks, (size_t)MOST_THREADS * STACK);
    checks::found.clear();
    given_up = false;
    count = threads;
    std::vector<u8> memory;
    for (u32 y = 0; y < blocks_y; ++y) {
        for (u32 x = 0; x < blocks_x; ++x) {
            memory.assign(shared + 64 + GUARD, 0xff);
            u8* begin = memory.data() + (64 - (uintptr_t)memory.data() % 64) % 64;
            std::memset(begin + shared, 0xa5, GUARD);
            checks::begin_block(begin, shared);
            at_block = done = 0;
            any_next = any_now = false;
            for (auto& warp : warps) warp.arrived = 0;
            for (u32 i = 0; i < threads; ++i) {
                Fibre& fibre = fibres[i];
                fibre.place = {i, threads, {x, y}, {blocks_x, blocks_y}, begin};
                fibre.state = State::Ready;
                fibre.phase = 0;
                fibre.groups.clear();
                fibre.open.clear();
            }
            bool ended = run_block(order);
            for (u32 i = 0; i < GUARD; ++i)
                if (begin[shared + i] != 0xa5) failure = "wrote behind its shared memory";
            if (!checks::found.empty()) failure = checks::found;
            if (!ended)
                for (auto& fibre : fibres) fibre.begun = false;
            if (!ended || !failure.empty()) return fail(failure);
        }
    }
    return 0;
}
