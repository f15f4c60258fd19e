# FAISS's own indices on GPUs, and the part of the C interface that reaches them.
# FAISS enables the language for itself alone; with it, the toolkit is the one that nvcc is of.
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(cuda CUDA::cudart)
list(APPEND shim gpu.cpp gpu_faults.cpp)
# What FAISS would end the process for is an error of its call, and the device is lost.
target_compile_options(faiss_gpu_objs PRIVATE "SHELL:-include \"${CMAKE_CURRENT_SOURCE_DIR}/gpu_faults.h\"")
