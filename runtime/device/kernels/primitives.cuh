// What the device gives: each of these has a twin in emulator/emulator.h.
#pragma once

#define DEVICE static __device__ __forceinline__
#define OUTLINED static __device__ __noinline__
#define KERNEL extern "C" __global__
#define LAUNCH(threads, blocks) __launch_bounds__(threads, blocks)

DEVICE float float_of_bits(u32 bits) { return __uint_as_float(bits); }
DEVICE u32 float_bits(float value) { return __float_as_uint(value); }

DEVICE u32 thread() { return threadIdx.x; }
DEVICE u32 threads() { return blockDim.x; }
DEVICE u32 block_x() { return blockIdx.x; }
DEVICE u32 block_y() { return blockIdx.y; }
DEVICE u32 blocks_x() { return gridDim.x; }
DEVICE u32 blocks_y() { return gridDim.y; }

DEVICE u8* shared_memory() {
    extern __shared__ uint4 shared_of_block[];
    return (u8*)shared_of_block;
}

DEVICE void sync_block() { __syncthreads(); }
DEVICE bool sync_block_any(bool value) { return __syncthreads_or(value); }
DEVICE float shuffle_xor(float value, int lanes) { return __shfl_xor_sync(0xffffffffu, value, lanes); }
DEVICE u32 add_shared(u32* place, u32 value) { return atomicAdd(place, value); }

// Reads what is read once, past the first cache.
DEVICE uint4 load_once(const uint4* from) {
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(from));
    return v;
}

// Two numbers in half precision.
DEVICE void halves(u32 word, float& low, float& high) {
    asm("{.reg .f16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}"
        : "=f"(low), "=f"(high)
        : "r"(word));
}

// The nearest number in half precision, the even one of two.
DEVICE u32 half_of(float value) {
    unsigned short half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return half;
}

DEVICE float square_root(float value) { return __fsqrt_rn(value); }

// Two of them in one word.
DEVICE u32 to_halves(float low, float high) {
    u32 word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

// a * b + c, rounded once.
DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }

// Four numbers of eight bits: each goes into the lowest byte of 2^23, from which what is not the
// number is taken away. Conversions are four times slower.
DEVICE void quarters(u32 word, float* out) {
    word ^= 0x80808080u;
    out[0] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7440)) - 8388736.0f;
    out[1] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7441)) - 8388736.0f;
    out[2] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7442)) - 8388736.0f;
    out[3] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7443)) - 8388736.0f;
}

// c += a * b for a warp: 16 x 16 times 16 x 8 in half precision, summed in single. With g = lane / 4
// and t = lane % 4: a holds rows g, g+8, g, g+8 at columns 2t, 2t, 2t+8, 2t+8; b rows 2t and 2t+8 of
// column g; c rows g, g, g+8, g+8 at columns 2t, 2t+1, 2t, 2t+1.
DEVICE void multiply(float* c, const u32* a, const u32* b) {
    // Volatile, so that it stays where all lanes are.
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// What the tensor cores of one generation (sm_90a) multiply by other instructions than `multiply`, and
// faster: four warps, 64 x 16 times 16 x 128, both in shared memory. Only measured.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define WIDE_PRODUCTS
// Where a matrix begins, in blocks of 8 x 16 bytes without gaps.
DEVICE u64 matrix_at(const void* shared) {
    u64 at = (u32)__cvta_generic_to_shared(shared);
    return (at & 0x3ffff) >> 4 | (u64)(128 >> 4) << 16 | (u64)(256 >> 4) << 32;
}
DEVICE void begin_wide() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void end_wide() {
    asm volatile("wgmma.commit_group.sync.aligned;\n wgmma.wait_group.sync.aligned 0;" ::: "memory");
}
DEVICE void multiply_wide(float* c, u64 a, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, 1, 1, 1, 0, 0;"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]),
          "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]),
          "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]),
          "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), "+f"(c[15]),
          "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]),
          "+f"(c[20]), "+f"(c[21]), "+f"(c[22]), "+f"(c[23]),
          "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]),
          "+f"(c[28]), "+f"(c[29]), "+f"(c[30]), "+f"(c[31]),
          "+f"(c[32]), "+f"(c[33]), "+f"(c[34]), "+f"(c[35]),
          "+f"(c[36]), "+f"(c[37]), "+f"(c[38]), "+f"(c[39]),
          "+f"(c[40]), "+f"(c[41]), "+f"(c[42]), "+f"(c[43]),
          "+f"(c[44]), "+f"(c[45]), "+f"(c[46]), "+f"(c[47]),
          "+f"(c[48]), "+f"(c[49]), "+f"(c[50]), "+f"(c[51]),
          "+f"(c[52]), "+f"(c[53]), "+f"(c[54]), "+f"(c[55]),
          "+f"(c[56]), "+f"(c[57]), "+f"(c[58]), "+f"(c[59]),
          "+f"(c[60]), "+f"(c[61]), "+f"(c[62]), "+f"(c[63])
        : "l"(a), "l"(b));
}
#endif

// Copies 16 bytes into shared memory while the thread goes on.
DEVICE void copy_ahead(void* shared, const void* global) {
    u32 to = (u32)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
// Ends a group of copies.
DEVICE void copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the `LEFT` latest groups are under way.
template <int LEFT>
DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
