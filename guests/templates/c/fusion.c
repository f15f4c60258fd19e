// A fusion: answers one score per document. This one is reciprocal rank fusion.

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
    exports_routir_extension_manifest_param_t *k = calloc(1, sizeof *k);
    if (!k) abort();
    k->name = text("k");
    k->kind = EXPORTS_ROUTIR_EXTENSION_MANIFEST_PARAM_KIND_NUMBER;
    k->default_.is_some = true;
    k->default_.val = text("60");
    k->description = text("added to every rank, at least 0");
    info->name = text("my-extension");
    info->version = text("0.1.0");
    info->description = text("reciprocal rank fusion");
    info->params.is_some = true;
    info->params.val.ptr = k;
    info->params.val.len = 1;
}

static double number(const fusion_params_t *params, const char *name, double otherwise) {
    for (size_t i = 0; i < params->len; i++) {
        const fusion_string_t *found = &params->ptr[i].f0;
        if (found->len == strlen(name) && memcmp(found->ptr, name, found->len) == 0)
            return params->ptr[i].f1.val.number;
    }
    return otherwise;
}

bool exports_fusion_fuse(fusion_string_t *query, fusion_list_ranked_list_t *lists,
                         uint32_t doc_count, fusion_params_t *params, fusion_list_f64_t *scores,
                         fusion_error_t *error) {
    double k = number(params, "k", 60);
    bool good = k >= 0;
    if (good) {
        scores->ptr = calloc(doc_count, sizeof(double));
        scores->len = doc_count;
        if (!scores->ptr) abort();
        for (size_t list = 0; list < lists->len; list++) {
            fusion_list_u32_t docs = lists->ptr[list].docs;
            for (size_t place = 0; place < docs.len; place++)
                scores->ptr[docs.ptr[place]] += 1 / (k + (double)(place + 1));
        }
    } else {
        error->tag = ROUTIR_EXTENSION_TYPES_ERROR_INVALID;
        error->val.invalid = text("`k` must be at least 0");
    }
    // The arguments are ours to free.
    fusion_string_free(query);
    fusion_list_ranked_list_free(lists);
    fusion_params_free(params);
    return good;
}
