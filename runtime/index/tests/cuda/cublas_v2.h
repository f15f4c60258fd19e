// See cuda_runtime.h.
#pragma once

typedef struct cublasContext *cublasHandle_t;
