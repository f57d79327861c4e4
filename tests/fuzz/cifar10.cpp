#include "lathe/data/cifar10.h"

#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

std::vector<std::string> seeds() {
    const std::string record = '\7' + std::string(3 * 32 * 32, 'x');
    return {record, record + record};
}

void read(Bytes bytes) { data::parse_cifar10(bytes, "fuzz"); }

}  // namespace lathe::fuzz
