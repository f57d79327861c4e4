#include "lathe/nn/models/description.h"
#include "lathe/tests/fuzz/fuzz.h"

// Networks described in JSON. What can be built is run, unless it is large.
namespace lathe::fuzz {

std::vector<std::string> seeds() {
    return {R"({"input": [8, 8, 3], "layers": [
                 {"name": "conv1", "op": "conv2d", "out": 8, "kernel": 3, "padding": "same", "stride": 2},
                 {"name": "bn1", "op": "batch_norm", "activation": "relu6"},
                 {"name": "left", "op": "conv2d", "out": 8, "kernel": [3, 1], "padding": [1, 0],
                  "groups": 4, "bias": false},
                 {"name": "right", "op": "max_pool2d", "inputs": ["bn1"], "kernel": 3, "stride": 1, "padding": 1},
                 {"name": "both", "op": "concat", "inputs": ["left", "right"]},
                 {"name": "part", "op": "slice", "axis": -1, "start": 4, "length": 8},
                 {"name": "flat", "op": "flatten"},
                 {"name": "fc", "op": "linear", "out": "classes"}], "classes": 3})",
            R"({"input": [6], "layers": [{"name": "a", "op": "linear", "out": 4}, {"name": "b", "op": "layer_norm"},
                 {"name": "c", "op": "reshape", "shape": [0, 2, -1]}, {"name": "d", "op": "softmax"},
                 {"name": "e", "op": "permute", "axes": [0, 2, 1]}, {"name": "f", "op": "matmul", "inputs": ["c", "e"]},
                 {"name": "g", "op": "sum", "axis": 1}, {"name": "h", "op": "scale", "factor": 0.5}]})",
            R"({"input": [8, 8, 4], "layers": [{"name": "a", "op": "basic_block", "out": 8, "stride": 2},
                 {"name": "b", "op": "inverted_residual", "out": 8, "expanded": 16, "squeezed": 2},
                 {"name": "c", "op": "squeeze_excite", "squeezed": 2}, {"name": "d", "op": "global_avg_pool"}]})"};
}

void read(Bytes bytes) {
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    size_t digits = 0;
    for (char c : text) {
        digits = c >= '0' && c <= '9' ? digits + 1 : 0;
        if (digits > 2) return;  // large networks are right, but slow
    }
    const auto model = nn::model_from_description(text, "fuzz");
    model->eval();
    (*model)(model->example(2));
}

}  // namespace lathe::fuzz
