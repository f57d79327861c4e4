#include "lathe/compress/budget/size.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "lathe/compress/weights/prune.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::compress;

TEST_CASE("size: parameters, non-zeros and bytes, dense and packed, as they are on disk") {
    seed(1);
    auto model = nn::make_model("lenet5");
    SizeReport size = measure_size(*model);
    CHECK(size.total().elements == 61706);
    CHECK(size.total().nonzeros == 61706);
    CHECK(size.total().packed_bytes == 61706 * 4);

    prune_magnitude(*model, {.layers = {{"fc1", 0.95}, {"fc2", 0.5}}});
    size = measure_size(*model);
    const TensorFile file = nn::to_file(*model, nn::Weights::encoded);
    for (const SizeReport::Entry& entry : size.parameters) {
        CAPTURE(entry.name);
        int64_t bytes = 0;
        for (const auto& [name, tensor] : file.tensors)
            if (name == entry.name || name.starts_with(entry.name + ".")) bytes += static_cast<int64_t>(tensor.bytes());
        CHECK(entry.packed_bytes == bytes);
        CHECK(entry.nonzero_bytes() == entry.nonzeros * 4);
        if (entry.name == "fc1.weight") CHECK(entry.encoding == "relative");
        if (entry.name == "fc2.weight") CHECK(entry.encoding == "bitmap");
        if (entry.name == "fc1.weight") CHECK(entry.nonzeros == 2400);
        if (entry.name == "conv1.weight") CHECK(entry.encoding == "dense");
    }
    const TemporaryFolder folder;
    nn::save(*model, folder / "model.safetensors", nn::Weights::encoded);
    CHECK(static_cast<int64_t>(std::filesystem::file_size(folder / "model.safetensors")) <
          size.total().packed_bytes + 6000);  // and a header
    CHECK(size.str().find("fc1.weight") != std::string::npos);
}

TEST_CASE("size: effective MACs are those of the weights that are left") {
    auto model = nn::make_model("resnet20");
    const Graph graph = nn::trace(*model, Tensor::zeros({1, 32, 32, 3}));
    CHECK(effective_macs(graph, measure_size(*model)) == 40551040);
    prune_magnitude(*model, {.sparsity = 0.5});
    CHECK(effective_macs(graph, measure_size(*model)) == 40551040 / 2);
}
