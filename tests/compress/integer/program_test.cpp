#include "lathe/compress/integer/program.h"

#include <doctest/doctest.h>

#include <map>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"
#include "lathe/data/shapes.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/layers/layer_norm.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/compress/integer/prepared.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using compress::IntegerProgram;
using compress::IntegerRun;
using lathe::testing::message_of;
using lathe::testing::Preparation;
using lathe::testing::same;

namespace {

std::shared_ptr<nn::Model> small_model() {
    seed(3);
    std::shared_ptr<nn::Model> model =
        nn::make_model("mobilenetv2", {.classes = 5, .width = 0.25, .input = {16, 16, 3}});
    model->class_names = {"a", "b", "c", "d", "e"};
    model->scaling = {{0.5f, 0.4f, 0.3f}, {0.2f, 0.2f, 0.3f}};
    model->eval();
    return model;
}

IntegerProgram small_program(int bits = 8) {
    const auto model = small_model();
    return {compress::lower_to_integer(Preparation(*model, model->example(4), bits).run()),
            nn::description_of(*model)};
}

}  // namespace

TEST_CASE("an integer program's file is a whole program: the same bits again, smaller with weights of 4 and 2 bits") {
    std::map<int, int64_t> bytes;
    for (const int bits : {8, 4, 2}) {
        const IntegerProgram program = small_program(bits);
        const TensorFile file = compress::to_file(program);
        const auto again = compress::program_from_file(file, "again");
        const Tensor x = lathe::testing::random_tensor({3, 16, 16, 3}, 5);
        CHECK(same((*again)(x), program(x)));
        CHECK(again->about().class_names == program.about().class_names);
        CHECK(again->about().scaling.std == program.about().scaling.std);
        CHECK(again->memory_plan().total == program.memory_plan().total);
        bytes[bits] = compress::measure_size(program).total().packed_bytes;
        CHECK_THROWS_WITH(nn::from_file(file, "f"), doctest::Contains("expected a whole model"));
    }
    CHECK(static_cast<double>(bytes[4]) < 0.7 * static_cast<double>(bytes[8]));
    CHECK(bytes[2] < bytes[4]);
}

TEST_CASE("damaged program files are refused in one line") {
    const TensorFile good = compress::to_file(small_program());
    const auto refused = [&](const std::function<void(TensorFile&)>& damage) {
        TensorFile file{.tensors = {}, .metadata = good.metadata};
        for (const auto& [name, tensor] : good.tensors) file.tensors[name] = tensor.clone();
        damage(file);
        const std::string said = message_of([&] { compress::program_from_file(file, "f"); });
        CHECK(said.starts_with("f: "));
        CHECK(said.find('\n') == std::string::npos);
        return said;
    };
    const auto replaced = [](std::string& text, const std::string& from, const std::string& to) {
        const size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        text.replace(at, from.size(), to);
    };
    CHECK(refused([](TensorFile& f) { f.metadata.erase("lathe.program"); }) ==
          "f: expected an integer program, got a file without 'lathe.program'");
    CHECK(refused([](TensorFile& f) { f.metadata["lathe.program"] = "7"; }) ==
          "f: expected an integer program of version 4, got '7'");
    CHECK(refused([](TensorFile& f) { f.tensors.erase("classifier.1.bias"); }) == "f: 'classifier.1.bias' is missing");
    CHECK(refused([](TensorFile& f) { f.tensors["more"] = Tensor::zeros({1}); }).find("tensors, got") !=
          std::string::npos);
    CHECK(refused([](TensorFile& f) { f.tensors["classifier.1.shift"].mutable_data<int32_t>()[2] = 99; })
              .find("channel 2: expected a multiplier and a fraction from 0 on and a shift from 1 to 62, got ") !=
          std::string::npos);
    CHECK(refused([](TensorFile& f) { f.tensors["classifier.1.fraction"].mutable_data<int32_t>()[3] = -1; })
              .find("channel 3: expected a multiplier and a fraction from 0 on") != std::string::npos);
    CHECK(refused([](TensorFile& f) { f.tensors["classifier.1.bias"].mutable_data<int32_t>()[0] = INT32_MIN; })
              .find("beyond 32 bits") != std::string::npos);
    CHECK(refused([](TensorFile& f) { f.tensors["classifier.1.multiplier"].mutable_data<int32_t>()[1] = -1; })
              .find("channel 1: expected a multiplier and a fraction from 0 on") != std::string::npos);
    const auto of_addend = [&](const std::string& which, int32_t value) {
        return refused([&](TensorFile& f) {
            for (auto& [name, tensor] : f.tensors)
                if (name.ends_with(which)) {
                    tensor.mutable_data<int32_t>()[0] = value;
                    return;
                }
            FAIL("a program without an addend");
        });
    };
    for (const int32_t shift : {-1, 23})
        CHECK(of_addend(".addend_shift", shift).find("its shift from 0 to 22, got ") != std::string::npos);
    CHECK(of_addend(".addend_multiplier", -1).find("expected an addend's multiplier from 0 on") != std::string::npos);
    CHECK(refused([&](TensorFile& f) { replaced(f.metadata["lathe.graph"], "\"x_zero\":", "\"x_zero\":9"); })
              .find("expected 'x_zero' from 0 to 255") != std::string::npos);
    CHECK(refused([&](TensorFile& f) { replaced(f.metadata["lathe.grids"], "\"zero\":", "\"zero\":999"); })
              .find("lathe.grids: expected 'zero' from 0 to 255") != std::string::npos);
    CHECK(refused([](TensorFile& f) { f.metadata["lathe.grids"] = "{}"; }).find("lathe.grids") != std::string::npos);
}

TEST_CASE(
    "a run asks the system for no memory, and its plan is proven: no live buffers overlap, a lower bound beside") {
    const IntegerProgram program = small_program();
    program.memory_plan().check(program.net().graph);
    CHECK(program.memory_plan().lower_bound <= program.memory_plan().total);
    CHECK(program.memory_plan().total < program.memory_plan().lower_bound * 5 / 4);
    IntegerRun run(program, 2);
    const Tensor x = lathe::testing::random_tensor({5, 16, 16, 3}, 5);
    Tensor y({5, 5});
    float* to = y.mutable_data<float>();
    run(5, x.data<float>(), to);
    memory::reset_peak();
    const size_t before = memory::stats().in_use;
    run(5, x.data<float>(), to);
    CHECK(memory::stats().peak == before);
    CHECK(same(y, program(x)));
    for (const Shape& other : {Shape{5, 8, 16, 3}, Shape{16, 16, 3}, Shape{}}) {
        const Tensor wrong = lathe::testing::random_tensor(other, 5);
        CHECK_THROWS_WITH(program(wrong), doctest::Contains("expected an input f32 [1, 16, 16, 3]"));
        CHECK_THROWS_WITH(program.profile(wrong), doctest::Contains("expected an input f32 [1, 16, 16, 3]"));
    }
}

TEST_CASE("what cannot be lowered is named, with where") {
    const auto model = small_model();
    const Graph prepared = Preparation(*model, model->example(2)).run();
    const auto changed = [&](auto change) {
        Graph graph = prepared;
        change(graph);
        return message_of([&] { compress::lower_to_integer(graph); });
    };
    CHECK(message_of([&] { compress::lower_to_integer(nn::trace(*model, model->example(1))); })
              .find("expected a fake_quantize") != std::string::npos);
    CHECK(changed([&](Graph& g) {
              for (GraphNode& each : g.nodes)
                  if (each.lowered) each.lowered = nullptr;
          }).find("with integers (FakeQuantize)") != std::string::npos);
    nn::Sequential net;
    net.add<nn::Linear>("fc1", {.in = 6, .out = 5});
    net.add<nn::LayerNorm>("norm", {.features = 5});
    net.add<nn::Linear>("fc2", {.in = 5, .out = 4});
    const Graph middle = Preparation(net, lathe::testing::random_tensor({3, 6}, 1)).run();
    const std::string said = message_of([&] { compress::lower_to_integer(middle); });
    CHECK(said.find("lower_to_integer: node 'norm' (layer_norm)") == 0);
}

TEST_CASE("a network prepared for quantization becomes a program that says what its simulation says") {
    const data::Dataset images = data::shapes(data::Split::train, {.count = 64});
    const Shape input = images.input_shape();
    seed(1);
    const auto model =
        nn::make_model("resnet8", {.classes = static_cast<int64_t>(images.classes().size()), .input = input});
    const auto [quantized, report] = compress::prepare_quantization(*model, images);
    quantized->eval();
    const IntegerProgram program = compress::lower_to_integer(*quantized);
    const Tensor x = quantized->example(16);
    const NoGrad no_grad;
    const double largest =
        lathe::testing::largest_difference((*quantized)(x).value(), program(x), program.net().output.scale);
    MESSAGE("outputs differ by ", largest, " steps at most");
    CHECK(largest <= 2.01);
}
