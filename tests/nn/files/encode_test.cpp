#include "lathe/nn/files/encode.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "lathe/core/random.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

Tensor mask_with(int64_t count, double density, uint64_t seed) {
    Tensor mask({count}, DType::u8);
    Random random(seed);
    for (int64_t i = 0; i < count; ++i) mask.mutable_data<uint8_t>()[i] = random.uniform() < density;
    return mask;
}

int64_t ones(const Tensor& mask) {
    int64_t count = 0;
    for (int64_t i = 0; i < mask.numel(); ++i) count += mask.at(i) != 0;
    return count;
}

// A module of one masked weight.
struct Masked : nn::Module {
    nn::Parameter w;
    Masked(const Tensor& weight, const Tensor& mask) : w(weight.clone()) {
        parameter("w", w);
        nn::set_mask(w, mask);
    }
    Variable forward(const Variable& x) override { return x; }

    TensorFile encoded(nn::Coding coding = nn::Coding::packed) {
        TensorFile file{.tensors = state(), .metadata = {{"lathe.transforms", nn::json_of(*this)}}};
        nn::encode(*this, file, coding);
        return file;
    }
};

TensorFile encoded(const Tensor& weight, const Tensor& mask) { return Masked(weight, mask).encoded(); }

Tensor product(const Tensor& weight, const Tensor& mask) {
    Tensor y = weight.clone();
    for (int64_t i = 0; i < y.numel(); ++i)
        if (mask.at(i) == 0) y.mutable_data<float>()[i] = 0;
    return y;
}

}  // namespace

TEST_CASE("encode: the smaller of bitmap and relative indices, byte for byte") {
    const Tensor mask = Tensor::of<uint8_t>({9}, {1, 0, 0, 1, 0, 0, 0, 0, 1});
    const TensorFile packed = encoded(Tensor::of<float>({9}, {1, 2, 3, 4, 5, 6, 7, 8, 9}), mask);
    CHECK(same(packed.tensors.at("w.values"), Tensor::of<float>({3}, {1, 4, 9})));
    CHECK(same(packed.tensors.at("w.index"), Tensor::of<uint8_t>({2}, {0b00001001, 1})));
    CHECK(packed.metadata.at("lathe.encoded") == R"({"w":{"encoding":"bitmap","shape":[9]}})");
    CHECK(packed.tensors.size() == 2);

    Tensor far = Tensor::zeros({1200}, DType::u8);
    far.mutable_data<uint8_t>()[254] = far.mutable_data<uint8_t>()[255] = far.mutable_data<uint8_t>()[256 + 255] = 1;
    const TensorFile relative = encoded(Tensor::full({1200}, 2), far);
    // 254, 0, 255 skipped, then 688 to the end.
    CHECK(same(relative.tensors.at("w.index"), Tensor::of<uint8_t>({6}, {254, 0, 255, 0, 255, 255})));
    Masked module(Tensor::full({1200}, 2), far);
    CHECK(nn::encode(module.w).bytes() == 6 + 3 * 4);
    CHECK(nn::encode(module.w).how.text("encoding") == "relative");
}

TEST_CASE("encode: what is decoded is what was encoded, at every density") {
    for (double density : {0.0, 0.001, 0.01, 0.1, 0.2, 0.5, 1.0})
        for (int64_t count : {1, 7, 8, 255, 256, 510, 5000}) {
            CAPTURE(density);
            CAPTURE(count);
            const Tensor mask = mask_with(count, density, static_cast<uint64_t>(count)),
                         weight = random_tensor({count});
            Masked module(weight, mask);
            const TensorFile packed = module.encoded();
            const TensorFile back = nn::decoded(packed);
            CHECK(same(back.tensors.at("w.mask"), mask));
            CHECK(same(back.tensors.at("w"), product(weight, mask)));
            CHECK(back.tensors.size() == 2);
            CHECK(back.metadata.size() == 1);
            const auto bytes =
                static_cast<int64_t>(packed.tensors.at("w.values").bytes() + packed.tensors.at("w.index").bytes());
            CHECK(nn::encode(module.w).bytes() == bytes);
            CHECK(bytes <= ones(mask) * 4 + (count + 7) / 8);
            const TensorFile huffman = module.encoded(nn::Coding::huffman), same_back = nn::decoded(huffman);
            CHECK(same(same_back.tensors.at("w.mask"), mask));
            CHECK(same(same_back.tensors.at("w"), product(weight, mask)));
            CHECK(huffman.tensors.at("w.index").bytes() <= packed.tensors.at("w.index").bytes());
        }
}

TEST_CASE("encode: with Huffman codes run lengths are symbols of as few bits as take the least room") {
    Masked module(random_tensor({5000}), mask_with(5000, 0.05, 1));
    const nn::Encoded weight = nn::encode(module.w, nn::Coding::huffman);
    CHECK(weight.how.text("encoding") == "relative");
    CHECK(weight.how.integer("index_bits") < 8);
    // 250 of 5000: the entropy of where they stand is 5000 * 0.286 bits, 179 bytes.
    const int64_t index = weight.tensors.at("index").numel();
    CHECK(index > 179);
    CHECK(index < 179 + 40);
    TensorFile wrong = module.encoded(nn::Coding::huffman);
    std::string& how = wrong.metadata.at("lathe.encoded");
    const size_t bits = how.find("\"index_bits\":") + 13;
    how[bits] = '9';
    CHECK(message_of([&] { nn::decoded(wrong); }).find("expected symbols of 1 to 8 bits, got 9") != std::string::npos);
}

TEST_CASE("encode: a pruned model's file is smaller, and is the same model") {
    const TemporaryFolder folder;
    seed(1);
    auto model = nn::make_model("lenet5");
    for (const auto& [name, parameter] : model->named_parameters())
        if (parameter->value().rank() > 1) {
            const Tensor mask = mask_with(parameter->value().numel(), name == "fc1.weight" ? 0.02 : 0.25, 3);
            parameter->add_transform(std::make_unique<nn::Mask>(mask.reshape(parameter->shape())));
        }
    nn::save(*model, folder / "dense.safetensors");
    nn::save(*model, folder / "packed.safetensors", nn::Weights::encoded);
    CHECK(std::filesystem::file_size(folder / "packed.safetensors") * 5 <
          std::filesystem::file_size(folder / "dense.safetensors"));
    const auto back = nn::load(folder / "packed.safetensors");
    const Tensor x = random_tensor({2, 28, 28, 1});
    const NoGrad no_grad;
    CHECK(same((*back)(x).value(), (*model)(x).value()));
    nn::save(*back, folder / "again.safetensors", nn::Weights::encoded);
    CHECK(read_file(folder / "again.safetensors") == read_file(folder / "packed.safetensors"));
    CHECK(read_safetensors(folder / "packed.safetensors").tensors.count("conv1.weight.values") == 1);  // any reader can
}

TEST_CASE("encode: damage is one clear line") {
    Masked module(random_tensor({300}), mask_with(300, 0.02, 1));
    const TensorFile good = module.encoded();
    const auto error = [&](const std::function<void(TensorFile&)>& damage) {
        TensorFile file = good;
        damage(file);
        return message_of([&] { nn::decoded(file); });
    };
    CHECK(error([](TensorFile&) {}) == "no error");
    CHECK(error([](TensorFile& f) { f.tensors.erase("w.index"); }) == "w: 'index' is missing");
    CHECK(error([](TensorFile& f) { f.tensors["w.index"] = Tensor::zeros({3}); }) ==
          "w: expected an index of type u8, got f32 [3]");
    CHECK(error([](TensorFile& f) { f.tensors["w.index"] = Tensor::zeros({400}, DType::u8); }) ==
          "w: expected an index of 300 elements, got one of 400");
    CHECK(error([](TensorFile& f) { f.tensors["w.index"] = Tensor::zeros({3}, DType::u8); }) ==
          "w: expected an index of 300 elements, got one of 3");
    CHECK(error([](TensorFile& f) { f.tensors["w.values"] = Tensor::zeros({1}); }).find("values, got [1]") !=
          std::string::npos);
    for (const char* text :
         {"{", "3", R"({"w":3})", R"({"w":{"encoding":"bitmap"}})", R"({"w":{"encoding":"huffman","shape":[300]}})",
          R"({"w":{"encoding":"bitmap","shape":[300]}})", R"({"w":{"encoding":"relative","shape":[1000000000]}})",
          R"({"w":{"encoding":"relative","shape":[4294967296,4294967296]}})",
          R"({"w":{"encoding":"relative","shape":[-1]}})", R"({"w":{"encoding":"relative","shape":"x"}})",
          R"({"x":{"encoding":"relative","shape":[300]}})"}) {
        CAPTURE(text);
        CHECK(error([&](TensorFile& f) { f.metadata["lathe.encoded"] = text; }) != "no error");
    }
}

TEST_CASE("encode: integers of a file leave their zeros out where that is smaller, and come back") {
    Tensor many = Tensor::zeros({40, 100}, DType::i8), few = Tensor::full({40, 100}, -3, DType::i8);
    for (int64_t i = 0; i < 4000; i += 4) many.mutable_data<int8_t>()[i] = static_cast<int8_t>(i % 97 + 1);
    for (int64_t i = 0; i < 4000; i += 20) few.mutable_data<int8_t>()[i] = 0;
    const Tensor real = Tensor::zeros({4000});
    TensorFile file{.tensors = {{"few", few}, {"many", many}, {"real", real}}, .metadata = {}};
    nn::encode_zeros(file);
    CHECK(file.tensors.size() == 4);
    CHECK(file.tensors.at("many.values").shape() == Shape{1000});
    CHECK(file.tensors.at("many.index").bytes() == 500);  // a bit for each
    CHECK(file.metadata.at("lathe.zeros").starts_with(R"({"many":{"encoding":"bitmap")"));
    CHECK(nn::encode_zeros(many).bytes() == 1500);
    CHECK(nn::encode_zeros(few).bytes() == 4000);
    const TensorFile back = nn::with_zeros(file);
    CHECK(back.metadata.empty());
    CHECK(back.tensors.size() == 3);
    CHECK(same(back.tensors.at("many"), many));
    CHECK(same(back.tensors.at("few"), few));

    const auto error = [&](const std::function<void(TensorFile&)>& damage) {
        TensorFile damaged = file;
        damage(damaged);
        return message_of([&] { nn::with_zeros(damaged); });
    };
    CHECK(error([](TensorFile& f) { f.tensors.erase("many.values"); }) == "many: 'values' is missing");
    CHECK(error([&](TensorFile& f) { f.tensors["many"] = many; }) ==
          "many: expected it with zeros or without, got both");
    CHECK(error([](TensorFile& f) { f.tensors["many.values"] = Tensor::zeros({999}, DType::i8); }) ==
          "many: expected 1000 values, got [999]");
    CHECK(error([](TensorFile& f) { f.metadata["lathe.zeros"] = "[]"; }) == "lathe.zeros: expected an object");
    const char* another = R"({"real":{"encoding":"bitmap","shape":[4000]}})";
    CHECK(error([&](TensorFile& f) { f.metadata["lathe.zeros"] = another; }) == "real: 'values' is missing");
}
