#pragma once
#include "lathe/nn/parameter.h"

namespace lathe::nn {

// Shares a few values among all weights: effective = codebook[index], and 0 where the weight is 0, so a mask before it
// holds. The codebook is a parameter of its own and what is trained; the dense weight gets no gradient and stays where
// it was (Han et al. 2015, "Deep compression", arXiv 1510.00149, section 3.3).
class Codebook : public WeightTransform {
public:
    // What an entry gets of the gradients of its weights.
    enum class Gradient {
        mean,  // their mean. The course lab trains every weight, sets entries to the means of their weights after each
               // step and weights back to their entry. Where a step is linear in the gradients, as that of sgd with
               // momentum and weight decay, the mean of moved weights is the entry moved by the mean of gradients: the
               // same, without a gradient, a momentum and a dense weight to keep
        sum,   // their sum, which is the true gradient, as in Deep Compression: small steps suit it
    };
    static const char* name_of(Gradient gradient);
    static Gradient gradient_of(const std::string& name);  // Error: unknown (names the nearest)

    // indices: u8, of the weight's shape; entries [2^bits], 1 to 8 bits. Error: another type, or an index beyond the
    // entries.
    Codebook(Tensor indices, Tensor entries, Gradient gradient);
    static TransformPtr make(const Attributes& config, const Tensor& weight);
    static void decode(Encoded& weight, const Attributes& config);

    std::string kind() const override { return "codebook"; }
    Stage stage() const override { return Stage::quantize; }
    Attributes config() const override { return {{"bits", bits()}, {"gradient", std::string(name_of(gradient_))}}; }
    std::string describe() const override;
    Variable apply(const Variable& weight, Box& box) override;
    uint64_t version() const override { return version_; }
    std::vector<OwnParameter> parameters() override { return {{"codebook", &entries_, Along::none()}}; }
    std::vector<StateEntry> state() const override { return {{"indices", indices_, Along::weight()}}; }
    void load_state(const std::map<std::string, Tensor>& state) override { set_indices(state.at("indices")); }
    Lowered lower(Lowered before, const Tensor& weight, const Box& box) const override;
    void encode(Encoded& weight) const override;  // as indices: the dense values cannot come back

    int64_t bits() const;
    const Tensor& indices() const { return indices_; }
    const Tensor& entries() const { return entries_.value(); }
    Tensor values() const;  // codebook[index] of every weight

private:
    void set_indices(Tensor indices);

    Tensor indices_;
    Parameter entries_;
    Gradient gradient_;
    uint64_t version_ = 0;
};

// What the transform does: weight [...], codebook [entries], indices u8 [...] -> [...]. No gradient goes to the weight.
Variable look_up(const Variable& weight, const Variable& codebook, const Tensor& indices, Codebook::Gradient gradient);

// Gives a parameter a codebook, or another one than it has. Its dense value becomes that of the entries. Error: as
// Codebook, another shape, or another transform that quantizes is there.
Codebook& set_codebook(Parameter& parameter, Tensor indices, Tensor entries, Codebook::Gradient gradient);

}  // namespace lathe::nn
