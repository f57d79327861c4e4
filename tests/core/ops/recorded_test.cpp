#include "lathe/tests/support/recorded.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "lathe/core/files/safetensors.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

using Tensors = std::map<std::string, Tensor>;

// Case name -> its tensors, from every file of recorded ops.
std::map<std::string, Tensors> read_recorded() {
    std::map<std::string, Tensors> cases;
    for (const auto& entry : std::filesystem::directory_iterator("tests/fixtures/ops"))
        for (const auto& [name, tensor] : read_safetensors(entry.path().string()).tensors) {
            const size_t slash = name.find('/');
            cases[name.substr(0, slash)][name.substr(slash + 1)] = tensor;
        }
    return cases;
}

void compare(const RecordedCase& op, const Tensors& recorded) {
    constexpr double kTolerance = 1e-5;
    RecordedInputs inputs;
    for (const auto& [name, tensor] : recorded)
        if (name != "y" && name != "dy" && name.find('.') == std::string::npos)
            inputs.values[name] =
                recorded.count("grad." + name) ? Variable::leaf(tensor.clone()) : Variable(tensor.clone());
    const Variable y = op.f(inputs);
    CHECK(relative_difference(y.value(), recorded.at("y")) <= kTolerance);
    if (y.requires_grad()) backward(y, recorded.at("dy"));
    for (const auto& [name, tensor] : recorded) {
        INFO(name);
        if (name.starts_with("grad.")) CHECK(relative_difference(inputs[name.substr(5)].grad(), tensor) <= kTolerance);
        if (name.starts_with("after.")) CHECK(relative_difference(inputs.tensor(name.substr(6)), tensor) <= kTolerance);
    }
}

}  // namespace

TEST_CASE("ops give what PyTorch recorded, forward and backward") {
    auto recorded = read_recorded();
    REQUIRE(!recorded.empty());
    for (const RecordedCase& op : recorded_cases()) {
        INFO(op.name);
        const auto found = recorded.find(op.name);
        REQUIRE(found != recorded.end());
        compare(op, found->second);
        recorded.erase(found);
    }
    for (const auto& [name, tensors] : recorded) FAIL_CHECK(name, " was recorded but is compared with nothing");
}
