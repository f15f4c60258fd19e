// Reciprocal rank fusion: the sum over lists of weight / (rrf_k + rank), rank from 1.

#include <stdlib.h>
#include <string.h>

#include "fusion.h"

// The host frees what is answered, so texts are copied to the heap.
static fusion_string_t text(const char *literal) {
    fusion_string_t copy;
    fusion_string_dup(&copy, literal);
    return copy;
}

void exports_routir_extension_manifest_describe(exports_routir_extension_manifest_info_t *info) {
    exports_routir_extension_manifest_param_t *params = calloc(2, sizeof *params);
    if (!params) abort();
    params[0].name = text("rrf_k");
    params[0].kind = EXPORTS_ROUTIR_EXTENSION_MANIFEST_PARAM_KIND_NUMBER;
    params[0].default_.is_some = true;
    params[0].default_.val = text("0");
    params[0].description = text("added to every rank, at least 0");
    params[1].name = text("weights");
    params[1].kind = EXPORTS_ROUTIR_EXTENSION_MANIFEST_PARAM_KIND_NUMBERS;
    params[1].description = text("one number of at least 0 per branch; 1 for all when absent");
    info->name = text("rrf-c");
    info->version = text("0.1.0");
    info->description = text("reciprocal rank fusion in C");
    info->params.is_some = true;
    info->params.val.ptr = params;
    info->params.val.len = 2;
}

static const routir_extension_types_value_t *find(const fusion_params_t *params, const char *name) {
    for (size_t i = 0; i < params->len; i++) {
        const fusion_string_t *found = &params->ptr[i].f0;
        if (found->len == strlen(name) && memcmp(found->ptr, name, found->len) == 0)
            return &params->ptr[i].f1;
    }
    return NULL;
}

static bool invalid(fusion_error_t *error, const char *message) {
    error->tag = ROUTIR_EXTENSION_TYPES_ERROR_INVALID;
    error->val.invalid = text(message);
    return false;
}

// A sum that keeps what rounding takes from it (Knuth's two-sum), so that the order of the lists
// does not show in the last digit, as in the native fusion.
static void add(double *high, double *low, double value) {
    double sum = *high + value;
    double part = sum - *high;
    *low += (*high - (sum - part)) + (value - part);
    *high = sum;
}

static bool fuse(const fusion_list_ranked_list_t *lists, uint32_t doc_count,
                 const fusion_params_t *params, fusion_list_f64_t *scores, fusion_error_t *error) {
    const routir_extension_types_value_t *k_value = find(params, "rrf_k");
    double k = k_value ? k_value->val.number : 0;
    if (k < 0) return invalid(error, "`rrf_k` must be a number of at least 0");

    double one = 1;
    fusion_list_f64_t weights = {&one, 1};
    const routir_extension_types_value_t *weights_value = find(params, "weights");
    if (weights_value) weights = weights_value->val.numbers;
    if (weights.len == 0 || lists->len % weights.len != 0)
        return invalid(error, "`weights` must have one number per branch");
    double total = 0;
    for (size_t i = 0; i < weights.len; i++) {
        if (weights.ptr[i] < 0) return invalid(error, "`weights` must be at least 0");
        total += weights.ptr[i];
    }
    if (total == 0) return invalid(error, "`weights` must have a number above 0");

    // Under an expander a branch has one list per sub-query.
    size_t lists_per_branch = lists->len / weights.len;
    double *high = calloc(doc_count, sizeof *high);
    double *low = calloc(doc_count, sizeof *low);
    if (!high || !low) abort();
    for (size_t i = 0; i < lists->len; i++) {
        double weight = weights.ptr[i / lists_per_branch];
        fusion_list_u32_t docs = lists->ptr[i].docs;
        for (size_t place = 0; place < docs.len; place++) {
            uint32_t doc = docs.ptr[place];
            add(&high[doc], &low[doc], weight / (k + (double)(place + 1)));
        }
    }
    for (uint32_t doc = 0; doc < doc_count; doc++) high[doc] += low[doc];
    free(low);
    scores->ptr = high;
    scores->len = doc_count;
    return true;
}

// The arguments are ours to free.
bool exports_fusion_fuse(fusion_string_t *query, fusion_list_ranked_list_t *lists,
                         uint32_t doc_count, fusion_params_t *params, fusion_list_f64_t *scores,
                         fusion_error_t *error) {
    bool good = fuse(lists, doc_count, params, scores, error);
    fusion_string_free(query);
    fusion_list_ranked_list_free(lists);
    fusion_params_free(params);
    return good;
}
