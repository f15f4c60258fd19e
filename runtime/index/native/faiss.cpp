// See faiss.h.
#include "faiss.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <omp.h>

#include <faiss/Index.h>
#include <faiss/IndexFastScan.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_factory.h>
#include <faiss/utils/utils.h>

#include "files.h"
#include "shim.h"

namespace {

using faiss::SearchParameters;
using routir::copy;
using routir::guarded;

faiss::MetricType metric_of(int32_t metric) {
    switch (metric) {
        case 0: return faiss::METRIC_INNER_PRODUCT;
        case 1: return faiss::METRIC_L2;
        default: throw std::invalid_argument("the metric is neither inner product nor L2");
    }
}

// The parameters of one search, in the shape of the index: each layer takes a type of its own.
class Parameters {
  public:
    Parameters(const RoutirSearch &how, int64_t vectors, int64_t limit) : how_(how) {
        // More than all is all: FAISS would make room for whatever number it is given.
        const int64_t all = std::clamp<int64_t>(vectors, 1, std::numeric_limits<int>::max());
        const double most = static_cast<double>(all) / static_cast<double>(std::max<int64_t>(limit, 1));
        how_.ef_search = std::min(how.ef_search, all);
        how_.k_factor = std::min(how.k_factor, static_cast<float>(std::max(most, 1.0)));
        if (how.allowed == nullptr) return;
        if (how.allowed_bytes < (static_cast<size_t>(vectors) + 7) / 8) {
            throw std::invalid_argument("the filter is shorter than the index");
        }
        selector_ = std::make_unique<faiss::IDSelectorBitmap>(how.allowed_bytes, how.allowed);
    }

    // For `index`; null where it needs none.
    SearchParameters *of(const faiss::Index *index) {
        if (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
            auto *inner = of(transformed->index);
            if (inner == nullptr) return nullptr;
            auto &made = make<faiss::SearchParametersPreTransform>();
            made.index_params = inner;
            return &made;
        }
        if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
            auto *inner = of(refined->base_index);
            if (inner == nullptr && how_.k_factor <= 0) return nullptr;
            auto &made = make<faiss::IndexRefineSearchParameters>();
            made.k_factor = how_.k_factor > 0 ? how_.k_factor : refined->k_factor;
            made.base_index_params = inner;
            return &made;
        }
        if (auto *mapped = dynamic_cast<const faiss::IndexIDMap *>(index)) {
            if (selector_) {
                throw std::invalid_argument("an index that maps ids cannot be filtered by position");
            }
            return of(mapped->index);
        }
        if (auto *inverted = dynamic_cast<const faiss::IndexIVF *>(index)) {
            return ivf(inverted->nprobe, inverted->nlist, inverted->quantizer);
        }
        if (auto *graph = dynamic_cast<const faiss::IndexHNSW *>(index)) {
            if (how_.ef_search <= 0 && !selector_) return nullptr;
            auto &made = make<faiss::SearchParametersHNSW>();
            made.efSearch = how_.ef_search > 0 ? static_cast<int>(how_.ef_search) : graph->hnsw.efSearch;
            made.bounded_queue = graph->hnsw.search_bounded_queue;
            made.check_relative_distance = graph->hnsw.check_relative_distance;
            made.sel = selector_.get();
            return &made;
        }
        if (dynamic_cast<const faiss::IndexFastScan *>(index) != nullptr && selector_) {
            throw std::invalid_argument("FAISS cannot filter a flat fast-scan index");
        }
        if (!selector_) return nullptr;
        auto &made = make<SearchParameters>();
        made.sel = selector_.get();
        return &made;
    }

  private:
    SearchParameters *ivf(size_t nprobe, size_t lists, const faiss::Index *quantizer) {
        SearchParameters *quantizing = nullptr;
        if (how_.ef_search > 0 && dynamic_cast<const faiss::IndexHNSW *>(quantizer) != nullptr) {
            auto &made = make<faiss::SearchParametersHNSW>();
            made.efSearch = static_cast<int>(how_.ef_search);
            quantizing = &made;
        }
        if (how_.nprobe <= 0 && !selector_ && quantizing == nullptr) return nullptr;
        auto &made = make<faiss::SearchParametersIVF>();
        made.nprobe = how_.nprobe > 0 ? std::min<size_t>(how_.nprobe, lists) : nprobe;
        made.sel = selector_.get();
        made.quantizer_params = quantizing;
        return &made;
    }

    template <class P>
    P &make() {
        auto made = std::make_unique<P>();
        P &it = *made;
        kept_.push_back(std::move(made));
        return it;
    }

    RoutirSearch how_;
    std::unique_ptr<faiss::IDSelectorBitmap> selector_;
    std::vector<std::unique_ptr<SearchParameters>> kept_;
};

const faiss::IndexIVF *inverted_file(const faiss::Index *index) {
    if (auto *it = dynamic_cast<const faiss::IndexPreTransform *>(index)) return inverted_file(it->index);
    if (auto *it = dynamic_cast<const faiss::IndexRefine *>(index)) return inverted_file(it->base_index);
    if (auto *it = dynamic_cast<const faiss::IndexIDMap *>(index)) return inverted_file(it->index);
    return dynamic_cast<const faiss::IndexIVF *>(index);
}

std::string describe(const faiss::Index *index) {
    if (auto *it = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
        return "PreTransform," + describe(it->index);
    }
    if (auto *it = dynamic_cast<const faiss::IndexRefine *>(index)) return describe(it->base_index) + ",Refine";
    if (auto *it = dynamic_cast<const faiss::IndexIDMap *>(index)) return "IDMap," + describe(it->index);
    if (auto *it = dynamic_cast<const faiss::IndexIVF *>(index)) {
        std::string name = typeid(*index).name();
        const char *codes = name.find("FastScan") != std::string::npos ? "fast-scan"
                            : name.find("Flat") != std::string::npos   ? "Flat"
                            : name.find("PQ") != std::string::npos     ? "PQ"
                            : name.find("Scalar") != std::string::npos ? "SQ"
                                                                       : "codes";
        return "IVF" + std::to_string(it->nlist) + "," + codes;
    }
    if (auto *it = dynamic_cast<const faiss::IndexHNSW *>(index)) {
        return "HNSW" + std::to_string(it->hnsw.nb_neighbors(1));
    }
    if (dynamic_cast<const faiss::IndexFastScan *>(index) != nullptr) return "fast-scan";
    if (dynamic_cast<const faiss::IndexFlat *>(index) != nullptr) return "Flat";
    if (dynamic_cast<const faiss::IndexPQ *>(index) != nullptr) return "PQ";
    if (dynamic_cast<const faiss::IndexScalarQuantizer *>(index) != nullptr) return "SQ";
    return "another kind";
}

}  // namespace

extern "C" {

EXPORTED int32_t routir_faiss_interface(void) { return ROUTIR_FAISS_INTERFACE; }

EXPORTED void routir_faiss_about(char *text, size_t bytes) {
    try {
        copy(std::string("FAISS ") + std::to_string(FAISS_VERSION_MAJOR) + "." +
                 std::to_string(FAISS_VERSION_MINOR) + "." + std::to_string(FAISS_VERSION_PATCH) +
                 ", " + faiss::get_compile_options(),
             text, bytes);
    } catch (...) {
        copy("FAISS", text, bytes);
    }
}

EXPORTED void routir_faiss_threads(int32_t threads) { omp_set_num_threads(std::max(threads, 1)); }

EXPORTED int32_t routir_faiss_read(const char *path, int32_t map, RoutirIndex **index, char *message) {
    return guarded(message, [&] {
        auto made = std::make_unique<RoutirIndex>();
        static_cast<routir::OpenIndex &>(*made) = routir::read_index(path, map != 0);
        *index = made.release();
    });
}

EXPORTED int32_t routir_faiss_write(const RoutirIndex *index, const char *path, char *message) {
    return guarded(message, [&] { routir::write_index(*index->index, path); });
}

EXPORTED int32_t routir_faiss_make(int32_t dimensions, const char *factory, int32_t metric,
                                   RoutirIndex **index, char *message) {
    return guarded(message, [&] {
        auto made = std::make_unique<RoutirIndex>();
        made->index.reset(faiss::index_factory(dimensions, factory, metric_of(metric)));
        *index = made.release();
    });
}

EXPORTED void routir_faiss_free(RoutirIndex *index) { delete index; }

EXPORTED int32_t routir_faiss_facts(const RoutirIndex *index, RoutirIndexFacts *facts, char *message) {
    return guarded(message, [&] {
        const faiss::Index &it = *index->index;
        const faiss::IndexIVF *inverted = inverted_file(&it);
        facts->vectors = it.ntotal;
        facts->dimensions = it.d;
        facts->metric = it.metric_type == faiss::METRIC_INNER_PRODUCT ? 0
                        : it.metric_type == faiss::METRIC_L2          ? 1
                                                                      : -1;
        facts->trained = it.is_trained ? 1 : 0;
        facts->lists = inverted != nullptr ? static_cast<int64_t>(inverted->nlist) : 0;
    });
}

EXPORTED int32_t routir_faiss_describe(const RoutirIndex *index, char *text, size_t bytes, char *message) {
    return guarded(message, [&] { copy(describe(index->index.get()), text, bytes); });
}

EXPORTED int32_t routir_faiss_train(RoutirIndex *index, int64_t count, const float *vectors, char *message) {
    return guarded(message, [&] { index->index->train(count, vectors); });
}

EXPORTED int32_t routir_faiss_add(RoutirIndex *index, int64_t count, const float *vectors, char *message) {
    return guarded(message, [&] { index->index->add(count, vectors); });
}

EXPORTED int32_t routir_faiss_search(const RoutirIndex *index, int64_t count, const float *queries,
                                     int64_t limit, const RoutirSearch *how, float *scores,
                                     int64_t *positions, char *message) {
    return guarded(message, [&] {
        Parameters parameters(*how, index->index->ntotal, limit);
        index->index->search(count, queries, limit, scores, positions, parameters.of(index->index.get()));
    });
}
}
