#pragma once
#include <string>

#include "lathe/data/dataset.h"
#include "lathe/data/in_memory.h"

namespace lathe::data {

// CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), binary version: 32x32 RGB.
// Reads root/cifar-10-batches-bin/data_batch_1.bin … data_batch_5.bin, as many as are there, or test_batch.bin; each
// plain or .gz. Error: no file, or one that is not 10,000 records.
Dataset cifar10(const std::string& root, Split split);

// Records of one label byte and three planes (R, G, B) of 32x32 bytes. `name` is for messages. Error: not a whole
// number of records, a label above 9.
InMemoryImages parse_cifar10(Bytes bytes, const std::string& name);

}  // namespace lathe::data
