// See check.h.
#include "check.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <faiss/IndexFastScan.h>
#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPQFastScan.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/VectorTransform.h>
#include <faiss/invlists/BlockInvertedLists.h>
#include <faiss/invlists/InvertedLists.h>

namespace {

using faiss::Index;
using routir::Span;

void require(bool holds, const char *what) {
    if (!holds) throw std::runtime_error(std::string("the file is damaged: ") + what);
}

template <class Kind>
const Kind *as(const Index &index) {
    return dynamic_cast<const Kind *>(&index);
}

// `count` vectors of `size` bytes are `bytes`, without overflow.
bool holds(size_t bytes, size_t count, size_t size) {
    return size > 0 && count <= bytes / size && count * size == bytes;
}

bool is_mapped(const void *data, Span mapped) {
    const char *at = static_cast<const char *>(data);
    return mapped.bytes > 0 && at >= mapped.begin && at < mapped.begin + mapped.bytes;
}

// Whether to leave it on disk rather than to look at all of it.
bool is_left(const void *data, size_t bytes, Span mapped) {
    return bytes > (size_t{64} << 20) && is_mapped(data, mapped);
}

template <class Vector>
void check_place(const Vector &vector, Span mapped) {
    if (mapped.bytes == 0 || vector.size() == 0) return;
    using Item = typename Vector::value_type;
    const char *begin = reinterpret_cast<const char *>(vector.data());
    if (!is_mapped(begin, mapped)) return;
    const size_t left = static_cast<size_t>(mapped.begin + mapped.bytes - begin);
    require(vector.size() <= left / sizeof(Item), "it ends too early");
}

void check_quantizer(const faiss::ProductQuantizer &quantizer, int dimensions) {
    require(quantizer.d == static_cast<size_t>(dimensions), "its quantizer has other dimensions");
    require(quantizer.M > 0 && quantizer.d % quantizer.M == 0, "its quantizer has no subspaces");
    require(quantizer.nbits >= 1 && quantizer.nbits <= 24, "its quantizer has no codes");
    require(quantizer.centroids.size() == quantizer.d * quantizer.ksub, "centroids are missing");
}

void check_quantizer(const faiss::ScalarQuantizer &quantizer, int dimensions) {
    using Scalar = faiss::ScalarQuantizer;
    require(quantizer.d == static_cast<size_t>(dimensions), "its quantizer has other dimensions");
    size_t learnt = 0;
    switch (quantizer.qtype) {
        case Scalar::QT_8bit:
        case Scalar::QT_4bit:
        case Scalar::QT_6bit: learnt = 2 * quantizer.d; break;
        case Scalar::QT_8bit_uniform:
        case Scalar::QT_4bit_uniform: learnt = 2; break;
        case Scalar::QT_fp16:
        case Scalar::QT_bf16:
        case Scalar::QT_8bit_direct:
        case Scalar::QT_8bit_direct_signed: break;
        default: require(false, "its quantizer is of an unknown kind");
    }
    require(quantizer.trained.size() >= learnt, "its quantizer's ranges are missing");
}

// Fast-scan codes: blocks of `block` vectors with `half` bytes for each pair of subspaces.
void check_fast_scan(size_t bits, size_t subspaces, size_t rounded, int block) {
    require(bits == 4, "fast scan has codes of 4 bits");
    require(rounded == (subspaces + 1) / 2 * 2, "its subspaces do not fit its blocks");
    require(block > 0 && block % 32 == 0, "its blocks are of no possible size");
}

void check_transform(const faiss::VectorTransform &transform) {
    const auto in = static_cast<size_t>(transform.d_in), out = static_cast<size_t>(transform.d_out);
    require(transform.d_in > 0 && transform.d_out > 0, "a transform has no dimensions");
    require(in <= (1 << 20) && out <= (1 << 20), "a transform has too many dimensions");
    if (auto *it = dynamic_cast<const faiss::LinearTransform *>(&transform)) {
        require(it->A.size() >= in * out, "a matrix is too small");
        require(!it->have_bias || it->b.size() >= out, "a bias is too small");
    } else if (auto *it = dynamic_cast<const faiss::RemapDimensionsTransform *>(&transform)) {
        require(it->map.size() == out, "a map of dimensions is too small");
        for (int from : it->map) require(from >= -1 && from < transform.d_in, "a dimension is missing");
    } else if (auto *it = dynamic_cast<const faiss::CenteringTransform *>(&transform)) {
        require(in == out && it->mean.size() == in, "a centre is too small");
    } else if (dynamic_cast<const faiss::NormalizationTransform *>(&transform) != nullptr) {
        require(in == out, "a normalisation changes dimensions");
    } else if (auto *it = dynamic_cast<const faiss::ITQTransform *>(&transform)) {
        require(it->mean.size() == in, "a centre is too small");
        check_transform(it->pca_then_itq);
        require(it->pca_then_itq.d_in == transform.d_in, "a transform does not fit");
        require(it->pca_then_itq.d_out == transform.d_out, "a transform does not fit");
    }
}

void check_graph(const faiss::IndexHNSW &index, Span mapped) {
    const faiss::HNSW &graph = index.hnsw;
    const auto count = static_cast<size_t>(index.ntotal);
    require(count < (size_t{1} << 31), "a graph has too many vectors");
    const auto &most = graph.cum_nneighbor_per_level;
    require(graph.levels.size() == count, "the graph's levels are missing");
    require(graph.offsets.size() == count + 1 && graph.offsets[0] == 0, "the graph's nodes are missing");
    require(!most.empty() && most[0] == 0 && most.size() < 256, "the graph's levels are wrong");
    for (size_t level = 1; level < most.size(); level++) {
        require(most[level] >= most[level - 1], "the graph's levels are wrong");
    }
    require(graph.neighbors.size() == graph.offsets[count], "the graph's links are missing");
    for (size_t node = 0; node < count; node++) {
        const int levels = graph.levels[node];
        require(levels >= 1 && static_cast<size_t>(levels) < most.size(), "a node's levels are wrong");
        require(graph.offsets[node + 1] >= graph.offsets[node] &&
                    graph.offsets[node + 1] - graph.offsets[node] == static_cast<size_t>(most[levels]),
                "a node's links are missing");
    }
    if (count == 0) return;
    require(graph.entry_point >= 0 && static_cast<size_t>(graph.entry_point) < count,
            "the graph's entry is missing");
    require(graph.max_level == graph.levels[graph.entry_point] - 1, "the graph's entry is wrong");
    if (is_left(graph.neighbors.data(), graph.neighbors.size() * sizeof(int32_t), mapped)) return;
    for (size_t node = 0; node < count; node++) {
        for (int level = 0; level < graph.levels[node]; level++) {
            size_t begin, end;
            graph.neighbor_range(static_cast<faiss::idx_t>(node), level, &begin, &end);
            for (size_t at = begin; at < end; at++) {
                const int other = graph.neighbors[at];
                if (other < 0) break;
                require(static_cast<size_t>(other) < count && graph.levels[other] > level,
                        "a link leads nowhere");
            }
        }
    }
}

void check(const Index &index, Span mapped, int depth);

void check_part(const Index *part, Span mapped, int depth) {
    require(part != nullptr, "a part of it is missing");
    check(*part, mapped, depth + 1);
}

void check_blocks(const faiss::BlockInvertedLists &lists, size_t block, size_t rounded) {
    require(lists.n_per_block == block, "the lists have other blocks");
    require(lists.block_size == block * rounded / 2, "the lists have other codes");
    require(lists.ids.size() == lists.nlist && lists.codes.size() == lists.nlist, "lists are missing");
    for (size_t list = 0; list < lists.nlist; list++) {
        const size_t blocks = (lists.ids[list].size() + block - 1) / block;
        require(holds(lists.codes[list].size(), blocks, lists.block_size), "codes of a list are missing");
    }
}

void check_inverted(const faiss::IndexIVF &index, Span mapped, int depth) {
    check_part(index.quantizer, mapped, depth);
    require(index.quantizer->d == index.d, "its quantizer has other dimensions");
    require(index.nlist > 0 && index.nprobe > 0, "it has no lists");
    require(static_cast<size_t>(index.quantizer->ntotal) == index.nlist, "it has too few or many lists");
    const faiss::InvertedLists *lists = index.invlists;
    require(lists != nullptr && lists->nlist == index.nlist, "its lists are missing");
    const auto *blocks = dynamic_cast<const faiss::BlockInvertedLists *>(lists);
    if (auto *it = as<faiss::IndexIVFFastScan>(index)) {
        require(blocks != nullptr, "its lists are of another kind");
        check_fast_scan(it->nbits, it->M, it->M2, it->bbs);
        check_blocks(*blocks, static_cast<size_t>(it->bbs), it->M2);
    } else {
        require(lists->code_size == index.code_size && index.code_size > 0, "its codes are of another size");
    }
    if (auto *it = as<faiss::IndexIVFPQ>(index)) {
        check_quantizer(it->pq, it->d);
        require(it->pq.code_size == it->code_size, "its codes are of another size");
    } else if (auto *it = as<faiss::IndexIVFPQFastScan>(index)) {
        check_quantizer(it->pq, it->d);
    } else if (auto *it = as<faiss::IndexIVFScalarQuantizer>(index)) {
        check_quantizer(it->sq, it->d);
        require(it->sq.code_size == it->code_size, "its codes are of another size");
    } else if (as<faiss::IndexIVFFlat>(index) != nullptr) {
        require(index.code_size == index.d * sizeof(float), "its codes are of another size");
    }
    const auto *arrays = dynamic_cast<const faiss::ArrayInvertedLists *>(lists);
    const auto count = static_cast<size_t>(index.ntotal);
    size_t sum = 0;
    for (size_t list = 0; list < index.nlist; list++) {
        const size_t size = lists->list_size(list);
        require(size <= count - sum, "its lists hold more than there is");
        sum += size;
        if (arrays != nullptr) {
            const auto &ids = arrays->ids[list];
            const auto &codes = arrays->codes[list];
            check_place(ids, mapped);
            check_place(codes, mapped);
            require(size == 0 || holds(codes.size(), size, index.code_size), "codes of a list are missing");
            if (is_left(ids.data(), count * sizeof(faiss::idx_t), mapped)) continue;
        }
        faiss::InvertedLists::ScopedIds ids(lists, list);
        for (size_t at = 0; at < size; at++) {
            require(ids[at] >= 0 && ids[at] < index.ntotal, "a list names a vector that is not there");
        }
    }
    require(sum == count, "its lists hold less than there is");
}

void check(const Index &index, Span mapped, int depth) {
    require(depth < 8, "it is nested too deep");
    require(index.d > 0 && index.d <= (1 << 20), "it has no dimensions, or too many");
    require(index.ntotal >= 0, "it has less than no vectors");
    require(index.metric_type == faiss::METRIC_INNER_PRODUCT || index.metric_type == faiss::METRIC_L2,
            "it compares vectors neither by inner product nor by L2");
    const auto count = static_cast<size_t>(index.ntotal);
    const auto same = [&](const Index &part) {
        require(part.ntotal == index.ntotal, "a part of it has more or fewer vectors");
    };
    if (auto *it = as<faiss::IndexPreTransform>(index)) {
        check_part(it->index, mapped, depth);
        same(*it->index);
        int dimensions = it->d;
        for (const faiss::VectorTransform *transform : it->chain) {
            check_transform(*transform);
            require(transform->d_in == dimensions, "a transform does not fit");
            dimensions = transform->d_out;
        }
        require(dimensions == it->index->d, "its transforms do not fit its vectors");
    } else if (auto *it = as<faiss::IndexRefine>(index)) {
        check_part(it->base_index, mapped, depth);
        check_part(it->refine_index, mapped, depth);
        same(*it->base_index);
        same(*it->refine_index);
        require(it->base_index->d == it->d && it->refine_index->d == it->d, "a part has other dimensions");
        require(std::isfinite(it->k_factor) && it->k_factor >= 1, "its factor is less than one");
    } else if (auto *it = as<faiss::IndexIDMap>(index)) {
        check_part(it->index, mapped, depth);
        same(*it->index);
        require(it->index->d == it->d && it->id_map.size() == count, "its ids are missing");
    } else if (auto *it = as<faiss::IndexHNSW>(index)) {
        check_part(it->storage, mapped, depth);
        same(*it->storage);
        require(it->storage->d == it->d, "a part has other dimensions");
        check_place(it->hnsw.neighbors, mapped);
        check_graph(*it, mapped);
    } else if (auto *it = as<faiss::IndexIVF>(index)) {
        check_inverted(*it, mapped, depth);
    } else if (auto *it = as<faiss::IndexFastScan>(index)) {
        check_fast_scan(it->nbits, it->M, it->M2, it->bbs);
        const auto block = static_cast<size_t>(it->bbs);
        require(it->ntotal2 >= count && it->ntotal2 - count < block && it->ntotal2 % block == 0,
                "its blocks do not fit its vectors");
        require(holds(it->codes.size(), it->ntotal2 / 2, it->M2), "its codes are missing");
        if (auto *products = as<faiss::IndexPQFastScan>(index)) check_quantizer(products->pq, it->d);
    } else if (auto *it = as<faiss::IndexFlatCodes>(index)) {
        check_place(it->codes, mapped);
        require(holds(it->codes.size(), count, it->code_size), "its codes are missing");
        if (auto *products = as<faiss::IndexPQ>(index)) {
            check_quantizer(products->pq, it->d);
            require(products->pq.code_size == it->code_size, "its codes are of another size");
        } else if (auto *scalars = as<faiss::IndexScalarQuantizer>(index)) {
            check_quantizer(scalars->sq, it->d);
            require(scalars->sq.code_size == it->code_size, "its codes are of another size");
        }
    }
}

}  // namespace

namespace routir {

void check_index(const faiss::Index &index, Span mapped) { check(index, mapped, 0); }

}  // namespace routir
