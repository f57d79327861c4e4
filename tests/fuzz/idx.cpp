#include "lathe/data/mnist.h"
#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

std::vector<std::string> seeds() {
    return {std::string("\0\0\10\1\0\0\0\2ab", 10), std::string("\0\0\10\3\0\0\0\2\0\0\0\1\0\0\0\3abcdef", 22)};
}

void read(Bytes bytes) { data::parse_idx(bytes, "fuzz"); }

}  // namespace lathe::fuzz
