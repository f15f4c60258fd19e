# Debian's OpenBLAS without threads of its own: FAISS has OpenMP, and two pools fight over the cores.
# Its LAPACK is Fortran, whose runtime is linked in as well.
find_library(OPENBLAS NAMES libopenblas.a PATH_SUFFIXES openblas-serial REQUIRED)
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libgfortran.a
  OUTPUT_VARIABLE FORTRAN OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libquadmath.a
  OUTPUT_VARIABLE QUADMATH OUTPUT_STRIP_TRAILING_WHITESPACE)
set(BLAS_LIBRARIES "${OPENBLAS};${FORTRAN};${QUADMATH};m;pthread")
set(BLAS_FOUND TRUE)
