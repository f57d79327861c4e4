#include "lathe/compress/integer/lower.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lathe/compress/integer/lower_layer.h"
#include "lathe/core/graph/fold.h"
#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/ops/fake_quantize.h"

namespace lathe::compress {

namespace {

// A value of the prepared graph: integers in the new one, or what an op would make of integers in a grid that is yet to
// be said.
struct Value {
    int node = -1;  // of the new graph
    Grid8 grid{};
    bool open = false;
};

class Lowering {
public:
    explicit Lowering(const Graph& prepared) : from_(fold(prepared)), values_(from_.nodes.size()) {}

    IntegerGraph run() {
        int last = from_.output;
        if (from_[last].op->traits.probabilities) {
            net_.ending = from_[last].op.name();
            last = from_[last].inputs[0];
        }
        for (int i = 0; i < from_.size(); ++i)
            if (from_[i].activation && !(i == from_.output && !net_.ending.empty())) at_node(i, [&] { follow(i); });
        const Value output = at_node(last, [&] { return closed(last); });
        net_.graph.output = output.node;
        net_.output = output.grid;
        net_.graph = pruned(std::move(net_.graph));
        check(net_.graph.inputs.size() == 1, "lower_to_integer: expected a network of one input, got ",
              net_.graph.inputs.size());
        return std::move(net_);
    }

private:
    // --- reading the prepared graph

    // Runs f; its errors then name the node.
    template <class F>
    auto at_node(int i, F f) -> decltype(f()) {
        try {
            return f();
        } catch (const Error& error) {
            fail("lower_to_integer: node '", from_[i].path, "' (", from_[i].op, "): ", error.what());
        }
    }

    Value& value(int i) { return values_[static_cast<size_t>(i)]; }

    void follow(int i) {
        const GraphNode& node = from_[i];
        static const Op input = "input", quantize = "fake_quantize";
        if (node.op == input) return void(value(i).open = true);
        if (node.op == quantize) return quantized(i);
        if (moves(*node.op)) return void(value(i) = moved(i));
        value(i).open = true;
        if (!from_[i].op->layer) result(i, {}, true);  // says now what cannot be
    }

    // Integers of a value that no fake_quantize follows: those that it has, or in the grid of what it is made of.
    Value closed(int i) {
        if (!value(i).open) return value(i);
        static const Op average = "avg_pool2d", global = "global_avg_pool", relu = "relu", relu6 = "relu6";
        const Op op = from_[i].op;
        check(op == average || op == global || op == relu || op == relu6,
              "expected a fake_quantize behind it, which says what its integers stand for");
        const Grid8 grid = closed(from_[i].inputs[0]).grid;
        return value(i) = {result(i, grid), grid};
    }

    Value operand(int i, size_t k) { return closed(from_[i].inputs[k]); }

    void quantized(int i) {
        const GraphNode& node = from_[i];
        const int x = node.inputs[0];
        const Grid8 grid = grid_of(node);
        if (!value(x).open) {
            value(i) = {regridded(value(x), grid, node.shape, node.path), grid};
        } else if (from_[x].op == Op("input")) {
            check(net_.graph.inputs.empty(), "the input has another fake_quantize already");
            net_.input = grid;
            const int at = append({.op = "input", .path = "input", .shape = node.shape, .activation = true});
            net_.graph.inputs.push_back(at);
            value(i) = value(x) = {at, grid};
        } else {
            value(i) = {result(x, grid), grid};
        }
    }

    // Integers of up to 8 bits as u8: the lowest is 0.
    Grid8 grid_of(const GraphNode& node) const {
        const bool is_signed = node.attributes.integer("signed") != 0;
        const auto bits = static_cast<int>(node.attributes.integer("bits"));
        const IntegerRange range = integer_range(bits, is_signed);
        const GraphNode &scale = from_[node.inputs[1]];
        check(scale.value && scale.value.numel() == 1, "expected one constant scale for all of a value");
        const Tensor zero = node.inputs[2] < 0 ? Tensor{} : from_[node.inputs[2]].value;
        const double z = zero ? zero.item() : 0;
        return {.scale = std::max(static_cast<float>(scale.value.item()), kLeastScale),
                .zero = static_cast<int>(z - static_cast<double>(range.low)),
                .high = static_cast<int>(range.high - range.low)};
    }

    // --- making the new one

    int append(GraphNode node) {
        if (node.activation) node.dtype = DType::u8;
        net_.graph.nodes.push_back(std::move(node));
        return net_.graph.size() - 1;
    }

    int append(const GraphNode& like, const char* op, Attributes attributes, std::vector<int> inputs) {
        return append({.op = op, .path = like.path, .attributes = std::move(attributes), .inputs = std::move(inputs),
                       .shape = like.shape, .activation = true});
    }

    int constant(const Tensor& value, const std::string& path) {
        return append({.op = "constant", .path = path, .shape = value.shape(), .dtype = value.dtype(), .value = value});
    }

    template <class F>  // f(q) -> the result's integer
    int lookup(int x, const Shape& shape, const std::string& path, const F& f) {
        Tensor table({256}, DType::u8);
        for (int q = 0; q < 256; ++q) table.mutable_data<uint8_t>()[q] = static_cast<uint8_t>(f(q));
        const int at = constant(table, path + ".table");
        return append({.op = "int_lookup", .path = path, .inputs = {x, at}, .shape = shape, .activation = true});
    }

    int regridded(const Value& x, const Grid8& to, const Shape& shape, const std::string& path) {
        if (x.grid == to) return x.node;
        return lookup(x.node, shape, path, [&](int q) {
            return integer::quantize(integer::dequantize(q, x.grid.scale, x.grid.zero), to.scale, to.zero, 0, to.high);
        });
    }

    // --- ops

    static bool moves(const OpInfo& op) {
        static const Op others[] = {"max_pool2d", "concat", "slice", "pad"};
        return op.traits.view || std::any_of(std::begin(others), std::end(others),
                                             [&](Op other) { return &*other == &op; });
    }

    Value moved(int i) {
        const GraphNode& node = from_[i];
        const Grid8 grid = operand(i, 0).grid;
        std::vector<int> inputs;
        for (size_t k = 0; k < node.inputs.size(); ++k)
            inputs.push_back(
                regridded(operand(i, k), grid, from_[node.inputs[k]].shape, node.path + "." + std::to_string(k)));
        Attributes attributes = node.attributes;
        if (attributes.has("value"))
            attributes.set("value", static_cast<double>(integer::quantize(static_cast<float>(attributes.real("value")),
                                                                          grid.scale, grid.zero, 0, grid.high)));
        return {append(node, node.op.name().c_str(), attributes, inputs), grid};
    }

    // The node that makes the value's integers in a grid. `look` only checks that there is one.
    int result(int i, const Grid8& grid, bool look = false) {
        const GraphNode& node = from_[i];
        static const std::map<std::string, int (Lowering::*)(int, const Grid8&)> ops{
            {"add", &Lowering::sum}, {"mul", &Lowering::product}, {"avg_pool2d", &Lowering::mean},
            {"global_avg_pool", &Lowering::mean}};
        const auto found = ops.find(node.op.name());
        const bool unary = node.op->traits.elementwise && node.inputs.size() == 1;
        check(found != ops.end() || unary || node.op->layer, "it has no form in integers");
        if (look) return -1;
        if (node.op->layer) return layer(i, grid);
        return unary ? function(i, grid) : (this->*found->second)(i, grid);
    }

    int layer(int i, const Grid8& grid) {
        const GraphNode& node = from_[i];
        const Value x = operand(i, 0);
        const int addend = node.inputs.size() > 3 ? node.inputs[3] : -1;
        const Value other = addend < 0 ? Value{} : closed(addend);
        LayerNumbers numbers = lower_layer(from_, node, x.grid, addend < 0 ? nullptr : &other.grid, grid);
        std::vector<int> inputs{x.node};
        const auto add = [&](const Tensor& tensor, const char* name) {
            inputs.push_back(tensor ? constant(tensor, node.path + name) : -1);
        };
        add(numbers.weight, ".weight");
        add(numbers.bias, ".bias");
        inputs.push_back(addend < 0 ? -1 : other.node);
        add(numbers.fraction, ".fraction");
        add(numbers.multiplier, ".multiplier");
        add(numbers.shift, ".shift");
        add(numbers.addend_multiplier, ".addend_multiplier");
        add(numbers.addend_shift, ".addend_shift");
        return append(node, node.shape.rank() == 4 && node.attributes.has("stride") ? "int_conv2d" : "int_linear",
                      numbers.attributes, inputs);
    }

    int sum(int i, const Grid8& grid) {
        const GraphNode& node = from_[i];
        const Value a = operand(i, 0), b = operand(i, 1);
        check(from_[node.inputs[0]].shape == from_[node.inputs[1]].shape, "expected two inputs of one shape");
        const double a_ratio = static_cast<double>(a.grid.scale) / grid.scale;
        const double b_ratio = static_cast<double>(b.grid.scale) / grid.scale;
        check(a_ratio < 1 << 20 && b_ratio < 1 << 20, "its scale is 2^20 times less than an input's");
        const integer::Sum sum = integer::sum_of(a_ratio, a.grid.zero, b_ratio, b.grid.zero, grid.zero);
        const auto [low, high] = ends_of(node, grid);
        return append(node, "int_add",
                      {{"factor_a", int64_t{sum.factor_a}}, {"factor_b", int64_t{sum.factor_b}},
                       {"offset", int64_t{sum.offset}}, {"shift", int64_t{sum.shift}}, {"low", low}, {"high", high}},
                      {a.node, b.node});
    }

    int product(int i, const Grid8& grid) {
        const Value a = operand(i, 0), b = operand(i, 1);
        const integer::Multiplier by =
            integer::multiplier_of(static_cast<double>(a.grid.scale) * b.grid.scale / grid.scale);
        return append(from_[i], "int_mul",
                      {{"a_zero", int64_t{a.grid.zero}},
                       {"b_zero", int64_t{b.grid.zero}},
                       {"multiplier", int64_t{by.m}},
                       {"shift", int64_t{31 - by.s}},
                       {"zero", int64_t{grid.zero}},
                       {"high", int64_t{grid.high}}},
                      {a.node, b.node});
    }

    int mean(int i, const Grid8& grid) {
        const GraphNode& node = from_[i];
        const Value x = operand(i, 0);
        const double ratio = static_cast<double>(x.grid.scale) / grid.scale;
        check(ratio < 1 << 20, "its scale is 2^20 times less than its input's");
        const auto by = [&](int64_t count) { return integer::multiplier_of(ratio / static_cast<double>(count)); };
        Attributes attributes{{"x_zero", int64_t{x.grid.zero}}, {"zero", int64_t{grid.zero}},
                              {"high", int64_t{grid.high}}};
        if (!node.attributes.has("kernel_size")) {
            const Shape& shape = from_[node.inputs[0]].shape;
            const integer::Multiplier m = by(shape[1] * shape[2]);
            attributes.add("multiplier", int64_t{m.m});
            attributes.add("shift", int64_t{31 - m.s});
            return append(node, "int_global_avg_pool", attributes, {x.node});
        }
        for (const char* name : {"kernel_size", "stride", "padding"})
            attributes.add(name, node.attributes.integers(name));
        const std::vector<int64_t>& kernel = node.attributes.integers("kernel_size");
        const int64_t pixels = kernel[0] * kernel[1];
        const bool all = node.attributes.integer("count_include_pad") != 0;
        Tensor multiplier({pixels}, DType::i32), shift({pixels}, DType::i32);
        for (int64_t k = 0; k < pixels; ++k) {
            const integer::Multiplier m = by(all ? pixels : k + 1);
            multiplier.mutable_data<int32_t>()[k] = m.m;
            shift.mutable_data<int32_t>()[k] = 31 - m.s;
        }
        return append(node, "int_avg_pool2d", attributes,
                      {x.node, constant(multiplier, node.path + ".multiplier"), constant(shift, node.path + ".shift")});
    }

    // The op itself, run on each of the 256 values.
    int function(int i, const Grid8& grid) {
        const GraphNode& node = from_[i];
        const Value x = operand(i, 0);
        Tensor all({256});
        for (int q = 0; q < 256; ++q)
            all.mutable_data<float>()[q] = integer::dequantize(q, x.grid.scale, x.grid.zero);
        const Tensor y = run_op(node.op, node.attributes, std::vector<Variable>{all}).value();
        return lookup(x.node, node.shape, node.path, [&](int q) {
            return integer::quantize(y.data<float>()[q], grid.scale, grid.zero, 0, grid.high);
        });
    }

    Graph from_;
    std::vector<Value> values_;
    IntegerGraph net_;
};

}  // namespace

IntegerGraph lower_to_integer(const Graph& prepared) { return Lowering(prepared).run(); }

IntegerProgram lower_to_integer(nn::Model& prepared) {
    const nn::ModeScope mode(prepared, false);
    return {lower_to_integer(nn::trace(prepared, prepared.example(1))), nn::description_of(prepared)};
}

}  // namespace lathe::compress
