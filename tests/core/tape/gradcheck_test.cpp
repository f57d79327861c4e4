#include "lathe/core/tape/gradcheck.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// y = x^2 with a backward that claims dx = slope x dy.
Variable square(const Variable& x, double slope) {
    Tensor y = x.value().clone();
    for (int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] *= y.at(i);
    return record("square", {&x}, y, [x = Saved(x), slope](Tensor dy) {
        Tensor dx = dy.clone();
        for (int64_t i = 0; i < dx.numel(); ++i) dx.mutable_data<double>()[i] *= slope * x->at(i);
        return Gradients{dx};
    });
}

// The functions that the headers in core/ops declare.
std::set<std::string> declared_ops() {
    std::set<std::string> names;
    const std::regex declaration(R"(^(?:Variable|std::vector<Variable>) (\w+)\()");
    for (const auto& entry : std::filesystem::directory_iterator("core/ops")) {
        if (entry.path().extension() != ".h") continue;
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);)
            if (std::smatch match; std::regex_search(line, match, declaration)) names.insert(match[1]);
    }
    names.erase("row_loss");  // what the losses are made of
    return names;
}

}  // namespace

TEST_CASE("every op's gradient agrees with central differences in float64") {
    for (const OpCase& op : op_cases()) {
        INFO(op.op, ": ", op.what);
        Random random(7);
        std::vector<Tensor> inputs;
        for (const Shape& shape : op.inputs) inputs.push_back(op.draw(shape, random));
        const GradcheckResult result = gradcheck(op.f, inputs);
        CHECK_MESSAGE(result.passed, result.message);
    }
}

TEST_CASE("every op has a gradient case") {
    std::set<std::string> covered;
    for (const OpCase& op : op_cases()) covered.insert(op.op);
    const std::set<std::string> names = declared_ops();
    REQUIRE(names.count("linear") == 1);  // the headers were found and read
    for (const std::string& name : names) CHECK_MESSAGE(covered.count(name) == 1, name, " has no gradient case");
}

TEST_CASE("gradcheck accepts a right gradient and rejects one that is off by a part in a hundred thousand") {
    Random random(1);
    const Tensor x = normal({3, 5}, random);
    CHECK(gradcheck([](const auto& in) { return square(in[0], 2); }, {x}));
    const GradcheckResult wrong = gradcheck([](const auto& in) { return square(in[0], 2.00002); }, {x});
    CHECK_FALSE(wrong);
    CHECK(wrong.worst == doctest::Approx(1e-5).epsilon(0.01));
    CHECK(wrong.message.find("input 0 element") == 0);
}

TEST_CASE("gradcheck asks for float64") {
    CHECK_THROWS_WITH_AS(gradcheck([](const auto& in) { return in[0]; }, {Tensor::zeros({2})}),
                         "gradcheck: expected float64 inputs, got f32", Error);
}
