#pragma once
#include <string>
#include <vector>

#include "lathe/data/dataset.h"
#include "lathe/data/in_memory.h"

namespace lathe::data {

// MNIST (LeCun, Bottou, Bengio, Haffner 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747): 28x28
// grey. Read from root/mnist/ or root/fashion-mnist/: {train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, each plain
// or .gz. Error: a file is missing, damaged or of another kind; images and labels differ in number.
Dataset mnist(const std::string& root, Split split);
Dataset fashion_mnist(const std::string& root, Split split);

// An IDX file of unsigned bytes: big-endian magic 0x000008RR (RR axes), the extents, the values.
struct Idx {
    Shape shape;
    std::vector<uint8_t> values;
};
// `name` is for messages. Error: another magic, more than 4 axes, more or fewer values than the extents say.
Idx parse_idx(Bytes bytes, const std::string& name);

}  // namespace lathe::data
