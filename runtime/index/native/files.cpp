// See files.h.
#include "files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/impl/io.h>
#include <faiss/impl/zerocopy_io.h>
#include <faiss/index_io.h>
#include <faiss/invlists/InvertedLists.h>
#include <faiss/invlists/InvertedListsIOHook.h>

#include "check.h"

namespace {

// What a thread may still allocate. FAISS believes the sizes in a file and fills with zeros what it
// allocates for them: without a bound, one damaged byte can take all memory.
thread_local size_t allowance = std::numeric_limits<size_t>::max();

constexpr size_t PAGE = size_t{2} << 20, LARGE = 8 * PAGE;

class Allowance {
  public:
    // Enough for a file of so many bytes, for hash tables of its ids, and for what is computed from
    // it, of which FAISS makes 2 GiB at most.
    explicit Allowance(size_t file) {
        const size_t computed = std::min(16 * file, size_t{2} << 30);
        allowance = 6 * file + computed + (size_t{64} << 20);
    }
    ~Allowance() { allowance = std::numeric_limits<size_t>::max(); }
    Allowance(const Allowance &) = delete;
    Allowance &operator=(const Allowance &) = delete;
};

[[noreturn]] void fail(const std::string &what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

// Lists of an inverted file that stay where the file is mapped.
struct MappedLists : faiss::InvertedListsIOHook {
    MappedLists() : InvertedListsIOHook("ilmv", "routir::MappedLists") {}

    void write(const faiss::InvertedLists *, faiss::IOWriter *) const override {
        throw std::logic_error("mapped lists are written as what they are");
    }

    faiss::InvertedLists *read(faiss::IOReader *, int) const override {
        throw std::runtime_error("the file is damaged: there are no such lists");
    }

    faiss::InvertedLists *read_ArrayInvertedLists(faiss::IOReader *from, int, size_t count,
                                                  size_t code_size,
                                                  const std::vector<size_t> &sizes) const override {
        auto *reader = dynamic_cast<faiss::ZeroCopyIOReader *>(from);
        if (reader == nullptr) throw std::logic_error("lists can only be mapped with their file");
        auto lists = std::make_unique<faiss::ArrayInvertedLists>(count, code_size);
        for (size_t list = 0; list < count; list++) {
            lists->codes[list] = view<uint8_t>(*reader, sizes[list], code_size);
            lists->ids[list] = view<faiss::idx_t>(*reader, sizes[list], 1);
        }
        return lists.release();
    }

    template <class Item>
    static faiss::MaybeOwnedVector<Item> view(faiss::ZeroCopyIOReader &reader, size_t count, size_t each) {
        if (count == 0) return {};
        const size_t left = reader.rp_ <= reader.total_ ? reader.total_ - reader.rp_ : 0;
        if (each == 0 || count > left / sizeof(Item) / each) {
            throw std::runtime_error("the file is damaged: it ends too early");
        }
        void *at = nullptr;
        const size_t items = reader.get_data_view(&at, sizeof(Item), count * each);
        return faiss::MaybeOwnedVector<Item>::create_view(at, items, nullptr);
    }

    // FAISS finds the hook by the upper half of the flags.
    static int flags() {
        static const bool registered = (faiss::InvertedListsIOHook::add_callback(new MappedLists()), true);
        (void)registered;
        return faiss::IO_FLAG_SKIP_IVF_DATA | ('m' << 16) | ('v' << 24);
    }
};

// Tables that make a search faster, which FAISS would compute before anything is checked.
void precompute(faiss::Index *index) {
    if (auto *it = dynamic_cast<faiss::IndexPreTransform *>(index)) return precompute(it->index);
    if (auto *it = dynamic_cast<faiss::IndexRefine *>(index)) return precompute(it->base_index);
    if (auto *it = dynamic_cast<faiss::IndexIDMap *>(index)) return precompute(it->index);
    if (auto *it = dynamic_cast<faiss::IndexIVFPQ *>(index)) {
        if (it->is_trained && it->by_residual) {
            it->use_precomputed_table = 0;
            it->precompute_table();
        }
    }
}

constexpr int FLAGS = faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE | faiss::IO_FLAG_PQ_SKIP_SDC_TABLE;

}  // namespace

// Replaced for this library alone: it exports nothing but its interface.
void *operator new(size_t bytes) {
    if (bytes > allowance) throw std::bad_alloc();
    if (allowance != std::numeric_limits<size_t>::max()) allowance -= bytes;
    void *made = nullptr;
    if (bytes >= LARGE) {
        // A walk through a graph touches another page at each step: large ones need fewer look-ups.
        made = std::aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);
        if (made != nullptr) madvise(made, bytes, MADV_HUGEPAGE);
    } else {
        made = std::malloc(std::max(bytes, size_t{1}));
    }
    if (made == nullptr) throw std::bad_alloc();
    return made;
}
void operator delete(void *made) noexcept { std::free(made); }
void operator delete(void *made, size_t) noexcept { std::free(made); }

namespace routir {

class Mapping {
  public:
    explicit Mapping(const char *path) {
        const int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0) fail("it cannot be opened");
        struct stat about {};
        if (fstat(file, &about) == 0 && S_ISREG(about.st_mode)) {
            bytes_ = static_cast<size_t>(about.st_size);
            if (bytes_ > 0) begin_ = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file, 0);
        }
        const int failed = errno;
        close(file);
        errno = failed;
        if (begin_ == MAP_FAILED) fail("it cannot be mapped");
    }
    ~Mapping() {
        if (begin_ != MAP_FAILED && bytes_ > 0) munmap(begin_, bytes_);
    }
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;

    Span span() const { return {static_cast<const char *>(begin_), bytes_}; }
    const uint8_t *begin() const { return static_cast<const uint8_t *>(begin_); }
    size_t bytes() const { return bytes_; }

    // Readahead is of use to scans, not to walks through a graph.
    void advise(const faiss::Index *index) {
        if (dynamic_cast<const faiss::IndexHNSW *>(index) != nullptr) madvise(begin_, bytes_, MADV_RANDOM);
    }

  private:
    void *begin_ = MAP_FAILED;
    size_t bytes_ = 0;
};

OpenIndex read_index(const char *path, bool map) {
    OpenIndex opened;
    Span span;
    if (map) {
        opened.mapping = std::make_shared<Mapping>(path);
        span = opened.mapping->span();
        const int flags = FLAGS | MappedLists::flags();
        faiss::ZeroCopyIOReader reader(opened.mapping->begin(), span.bytes);
        Allowance allowance(span.bytes);
        opened.index.reset(faiss::read_index(&reader, flags));
        if (reader.rp_ > reader.total_) throw std::runtime_error("the file is damaged: it ends too early");
    } else {
        struct stat about {};
        if (stat(path, &about) != 0) fail("it cannot be opened");
        faiss::FileIOReader reader(path);
        Allowance allowance(static_cast<size_t>(about.st_size));
        opened.index.reset(faiss::read_index(&reader, FLAGS));
    }
    if (!opened.index) throw std::runtime_error("the file holds no index");
    check_index(*opened.index, span);
    precompute(opened.index.get());
    if (opened.mapping) opened.mapping->advise(opened.index.get());
    return opened;
}

void write_index(const faiss::Index &index, const char *path) {
    std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path, "wbe"), std::fclose);
    if (!file) fail("it cannot be created");
    {
        faiss::FileIOWriter writer(file.get());
        faiss::write_index(&index, &writer);
    }
    // FAISS would leave the last bytes to a destructor, which can fail in silence.
    if (std::fflush(file.get()) != 0 || fsync(fileno(file.get())) != 0) fail("it cannot be written");
    if (std::fclose(file.release()) != 0) fail("it cannot be written");
}

}  // namespace routir
