#include "lathe/nas/predict/proxies.h"

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "lathe/core/ceil_div.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/parallel.h"
#include "lathe/nas/elastic/supernet.h"
#include "lathe/nas/space/network.h"

namespace lathe::nas {

namespace {

constexpr EnumNames<Proxy, 3> kProxies{
    "proxy",
    {{Proxy::synflow, "synflow"}, {Proxy::naswot, "naswot"}, {Proxy::gradient_norm, "gradient-norm"}}};

constexpr double kNothing = -std::numeric_limits<double>::infinity();  // the logarithm of 0

bool is_dropout(const GraphNode& node) { return node.op->traits.view && node.op->traits.elementwise; }

bool left_out_of_synflow(const GraphNode& node) {
    const Activation activation = node.op->activation;
    const bool gate = activation == Activation::sigmoid || activation == Activation::hard_sigmoid;
    return is_dropout(node) || node.op->channels == ChannelRule::norm || (activation != Activation::none && !gate);
}

// The graph in which whatever reads such a node reads the node's first input.
Graph without(Graph graph, bool (*left_out)(const GraphNode&)) {
    std::vector<int> instead(graph.nodes.size());
    for (int i = 0; i < graph.size(); ++i) {
        for (int& from : graph[i].inputs)
            if (from >= 0) from = instead[static_cast<size_t>(from)];
        instead[static_cast<size_t>(i)] = left_out(graph[i]) ? graph[i].inputs[0] : i;
    }
    graph.output = instead[static_cast<size_t>(graph.output)];
    graph = pruned(std::move(graph));
    check_pass(graph);
    return graph;
}

// By node: the values that enter the graph, of which its parameters get gradients. Those that a training pass moves are
// copies.
std::vector<Variable> entering(const Graph& graph) {
    std::vector<Variable> values(graph.nodes.size());
    for (size_t i = 0; i < values.size(); ++i) {
        const GraphNode& node = graph.nodes[i];
        if (node.is_op() || !node.value) continue;
        values[i] = node.op == "parameter" ? Variable::leaf(node.value) : Variable(node.value.clone());
    }
    return values;
}

// What the network gives for x. `seen` is told the value of every op; one goes when nothing reads it any more.
template <class Seen>
Variable output_of(const Graph& graph, std::vector<Variable> values, const Tensor& x, Mode mode, Seen&& seen) {
    values[static_cast<size_t>(graph.input())] = x;
    std::vector<int> readers = graph.reader_counts();
    std::vector<Variable> inputs;
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& node = graph[i];
        if (!node.is_op()) continue;
        inputs.clear();
        for (int from : node.inputs) inputs.push_back(from < 0 ? Variable{} : values[static_cast<size_t>(from)]);
        const PathScope scope(node.path);
        const Variable& y = values[static_cast<size_t>(i)] = node.op->run(node.attributes, inputs, mode);
        seen(node, y.value());
        for (int from : node.inputs)
            if (from >= 0 && --readers[static_cast<size_t>(from)] == 0) values[static_cast<size_t>(from)] = {};
    }
    return values[static_cast<size_t>(graph.output)];
}

constexpr auto kUnseen = [](const GraphNode&, const Tensor&) {};

// Calls f(weight, its gradient, element) for each element of each weight that has a gradient, in order.
template <class F>
void for_each_weight(const Graph& graph, const std::vector<Variable>& values, F&& f) {
    std::set<int> weights;
    for (const GraphNode& node : graph.nodes)
        if (node.op->layer && graph.parameter(node, 1)) weights.insert(node.inputs[1]);
    for (int i : weights) {
        const Variable& weight = values[static_cast<size_t>(i)];
        if (!weight.grad()) continue;
        with_float(weight.value(), [&](auto zero) {
            using T = decltype(zero);
            const T *w = weight.value().template data<T>(), *dw = weight.grad().template data<T>();
            for (int64_t k = 0; k < weight.value().numel(); ++k)
                f(static_cast<double>(w[k]), static_cast<double>(dw[k]));
        });
    }
}

Tensor magnitudes(const Tensor& x) {
    Tensor y = x.to(DType::f64).clone();
    double* values = y.mutable_data<double>();
    for (int64_t i = 0; i < y.numel(); ++i) values[i] = std::abs(values[i]);
    return y;
}

// Whether the elements of a node's output are units, which are on where they are above 0.
bool has_units(const GraphNode& node) {
    const Attribute* named = node.attributes.find("activation");
    const Activation activation = named ? activation_named(std::get<std::string>(*named)) : node.op->activation;
    return activation == Activation::relu || activation == Activation::relu6 || activation == Activation::hard_swish ||
           activation == Activation::gelu;
}

// Adds to K, row by row, how many of the units y [N, ...] two images switch alike.
void add_agreements(const Tensor& y, std::vector<int64_t>& k) {
    constexpr int64_t kBits = 64;
    const int64_t n = y.dim(0), units = y.numel() / n, words = ceil_div(units, kBits);
    std::vector<uint64_t> codes(static_cast<size_t>(n * words));
    const float* values = y.data<float>();
    parallel_tasks(n, [&](int64_t i) {
        for (int64_t u = 0; u < units; ++u)
            codes[static_cast<size_t>(i * words + u / kBits)] |= uint64_t{values[i * units + u] > 0} << u % kBits;
    });
    parallel_tasks(n, [&](int64_t i) {
        for (int64_t j = 0; j < n; ++j) {
            int64_t differ = 0;
            for (int64_t w = 0; w < words; ++w)
                differ += std::popcount(codes[static_cast<size_t>(i * words + w)] ^
                                        codes[static_cast<size_t>(j * words + w)]);
            k[static_cast<size_t>(i * n + j)] += units - differ;
        }
    });
}

// log det of a positive semidefinite matrix [n, n], by Cholesky: K = L L^T, det K = product of L_jj^2.
double log_determinant(const std::vector<int64_t>& k, size_t n) {
    std::vector<double> l(k.begin(), k.end());
    double sum = 0;
    for (size_t j = 0; j < n; ++j)
        for (size_t i = j; i < n; ++i) {
            const double rest = l[i * n + j] - std::inner_product(&l[i * n], &l[i * n + j], &l[j * n], 0.0);
            if (i > j) {
                l[i * n + j] = rest / l[j * n + j];
                continue;
            }
            // What rounding leaves of 0
            if (rest <= static_cast<double>(n) * std::numeric_limits<double>::epsilon() * l[j * n + j]) return kNothing;
            l[j * n + j] = std::sqrt(rest);
            sum += std::log(rest);
        }
    return sum;
}

void check_batch(const char* name, const Tensor& images) {
    check(images.dim(0) >= 2, name, ": expected 2 images or more, got ", images.dim(0));
}

}  // namespace

const char* name_of(Proxy proxy) { return kProxies[proxy]; }
Proxy proxy_named(const std::string& name) { return kProxies.value_of(name); }
std::vector<std::string> proxy_names() { return kProxies.all(); }

double synflow(nn::Model& model) {
    Graph graph = nn::trace(model, model.example());
    for (GraphNode& node : graph.nodes) {
        node.dtype = DType::f64;
        if (node.value) node.value = magnitudes(node.value);
    }
    graph = without(std::move(graph), left_out_of_synflow);
    const std::vector<Variable> values = entering(graph);
    const Tensor ones = Tensor::full(model.example().shape(), 1, DType::f64);
    const Variable y = output_of(graph, values, ones, Mode::evaluation, kUnseen);
    backward(y, Tensor::full(y.shape(), 1, DType::f64));
    double flow = 0;
    for_each_weight(graph, values, [&](double w, double dw) { flow += w * dw; });
    check(std::isfinite(flow), "synflow: expected a network whose flow float64 can hold, got ", flow);
    return std::log(flow);
}

double naswot(nn::Model& model, const Tensor& images) {
    check_batch("naswot", images);
    const Graph graph = without(nn::trace(model, model.example()), is_dropout);
    const auto n = static_cast<size_t>(images.dim(0));
    std::vector<int64_t> k(n * n);
    bool any = false;
    const NoGrad no_grad;
    output_of(graph, entering(graph), images, Mode::training, [&](const GraphNode& node, const Tensor& y) {
        if (!has_units(node)) return;
        add_agreements(y, k);
        any = true;
    });
    check(any, "naswot: expected a network with relu, relu6, hard_swish or gelu, ", model.architecture(), " has none");
    return log_determinant(k, n);
}

double gradient_norm(nn::Model& model, const Tensor& images, const Tensor& labels) {
    check_batch("gradient-norm", images);
    const Graph graph = without(nn::trace(model, model.example()), is_dropout);
    const std::vector<Variable> values = entering(graph);
    backward(ops::cross_entropy(output_of(graph, values, images, Mode::training, kUnseen), labels));
    double squares = 0;
    for_each_weight(graph, values, [&](double, double dw) { squares += dw * dw; });
    return std::sqrt(squares);
}

double proxy_of(Proxy proxy, const Space& space, const Arch& arch, const data::Dataset& images, uint64_t seed) {
    const Space& uncompressed = space.joint() ? space_named(space.supernet) : space;
    const KeepGlobalRandom keep_random;
    lathe::seed(seed);
    const auto model = network(uncompressed, arch.uncompressed(), static_cast<int64_t>(images.classes().size()));
    if (proxy == Proxy::synflow) return synflow(*model);
    std::vector<int64_t> all(static_cast<size_t>(images.size()));
    std::iota(all.begin(), all.end(), int64_t{0});
    const data::Batch batch = scaled(images, arch.image_size).batch(all);
    if (proxy == Proxy::naswot) return naswot(*model, batch.input());
    return gradient_norm(*model, batch.input(), batch.target());
}

}  // namespace lathe::nas
