# OpenBLAS holds it: see FindBLAS.cmake.
set(LAPACK_LIBRARIES "${BLAS_LIBRARIES}")
set(LAPACK_FOUND TRUE)
