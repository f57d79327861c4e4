#include "lathe/tests/fuzz/fuzz.h"

#include "lathe/core/error.h"

using namespace lathe;

// Called before libFuzzer looks at its arguments: fills the corpus folder, which is the last of them, with the seeds.
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    const std::string folder = (*arguments)[*count - 1];
    int number = 0;
    for (const std::string& seed : fuzz::seeds())
        write_file_atomically(folder + "/seed" + std::to_string(number++), seed);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    try {
        fuzz::read(std::as_bytes(std::span(data, size)));
    } catch (const Error&) {
    }
    return 0;
}
