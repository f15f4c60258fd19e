// Kernels with one mistake each, that the checks must find; what is right beside them they must not.

#define ROUTIR_EMULATED
#include "../kernels/common.cuh"

#include "launch.h"

// Each thread writes a word and reads its neighbour's; `waits`: 0 never, 1 between, 2 in each warp only.
KERNEL void wrong_neighbours(u32 waits) {
    u32* held = (u32*)shared_memory();
    u32 next = (thread() + 32) % threads();
    held[thread()] = thread();
    if (waits == 1) sync_block();
    if (waits == 2) shuffle_xor(0, 1);
    u32 of_next = held[next];
    sync_block();
    held[thread()] = of_next;
}

// As above, in the device's memory, of the next block if there is one.
KERNEL void wrong_blocks(u32* memory) {
    u32 own = block_x() * threads() + thread();
    memory[own] = own;
    sync_block();
    u32 next = (own + threads()) % (threads() * blocks_x());
    memory[own] = memory[next] + 1;
}

KERNEL void wrong_unwritten(u32* memory) {
    u32* held = (u32*)shared_memory();
    if (thread() < 16) held[thread()] = 1;
    sync_block();
    memory[thread()] = held[thread()];
}

// `how`: 0 right, 1 read before it is there, 2 read by others without a wait, 3 copied to while it is
// read, 4 not aligned.
KERNEL void wrong_copies(const u32* memory, u32* out, u32 how) {
    uint4* held = (uint4*)shared_memory();
    copy_ahead(held + thread(), memory + 4 * thread() + (how == 4 ? 1 : 0));
    copy_group();
    if (how != 1) copy_wait<0>();
    if (how != 2) sync_block();
    u32 next = (thread() + 1) % threads();
    out[thread()] = held[next].x;
    if (how == 3) copy_ahead(held + thread(), memory);
    copy_group();
    copy_wait<0>();
}

KERNEL void wrong_alignment(const u32* memory, u32* out, u32 offset) {
    uint4 four = *(const uint4*)(memory + offset);
    out[thread()] = four.x + four.w;
}

// Half of a warp exchanges, or waits, elsewhere; or is gone.
KERNEL void wrong_meeting(u32 how, float* out) {
    if (how == 3 && thread() % 32 > 15) return;
    float value = 1;
    if (how != 0 && how != 3 && thread() % 32 < 16) {
        if (how == 1) value = shuffle_xor(value, 1);
        if (how == 2) sync_block();
    } else {
        value = how == 2 ? value : shuffle_xor(value, 2);
    }
    if (how == 2 && thread() % 32 > 15) sync_block();
    out[thread()] = value;
}

// Two threads read the word that one of them writes; memory was written before.
KERNEL void wrong_halves(u32* memory) {
    memory[thread()] = 0;
    sync_block();
    if (thread() % 2 == 0) memory[thread()] = 1;
    memory[thread()] = memory[thread() & ~1u];
}

// Adding is for all; reading beside it is not.
KERNEL void wrong_adding(u32 read) {
    u32* held = (u32*)shared_memory();
    if (thread() == 0) held[0] = 0;
    sync_block();
    add_shared(held, 1);
    if (read && thread() == 7) held[1] = held[0];
}

REGISTER(wrong_neighbours)
REGISTER(wrong_blocks)
REGISTER(wrong_unwritten)
REGISTER(wrong_copies)
REGISTER(wrong_alignment)
REGISTER(wrong_meeting)
REGISTER(wrong_halves)
REGISTER(wrong_adding)
