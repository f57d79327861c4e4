#include "lathe/core/files/gzip.h"

#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

namespace {

// A file in memory, for readers that want a path.
struct MemoryFile {
    explicit MemoryFile(Bytes bytes = {}) : descriptor(memfd_create("fuzz", 0)) {
        if (descriptor < 0 || write(descriptor, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
            abort();
    }
    ~MemoryFile() { close(descriptor); }
    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor); }
    int descriptor;
};

std::string packed(const std::string& text) {
    const MemoryFile file;
    const gzFile out = gzopen(file.path().c_str(), "wb");
    gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
    gzclose(out);
    return read_text_file(file.path());
}

}  // namespace

std::vector<std::string> seeds() {
    return {packed(""), packed("abcabcabc"), packed("one") + packed("two"), packed(std::string(1 << 20, 'x')),
            "not packed"};
}

void read(Bytes bytes) {
    const MemoryFile file(bytes);
    if (read_unpacked(file.path(), 1 << 18).size() > 1 << 18) abort();
}

}  // namespace lathe::fuzz
