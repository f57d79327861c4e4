#include "lathe/compress/integer/program.h"

#include <algorithm>
#include <chrono>

#include "lathe/compress/integer/packing.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/kernels/integer/table.h"
#include "lathe/core/measure/median.h"
#include "lathe/core/parallel.h"
#include "lathe/nn/files/encode.h"

namespace lathe::compress {

namespace {

template <class T>
decltype(auto) at(T& values, int i) {
    return values[static_cast<size_t>(i)];
}

void check_grid(const Grid8& grid, const char* what) {
    check(grid.scale > 0 && grid.scale < 1e30f && grid.high >= 1 && grid.high <= 255 && grid.zero >= 0 &&
              grid.zero <= grid.high,
          "integer program: expected the ", what, "'s scale above 0 and its zero from 0 to its greatest integer, of at "
          "most 255, got ", grid.scale, ", ", grid.zero, " and ", grid.high);
}

SizeReport::Entry weight_size(const Graph& graph, const GraphNode& node) {
    const Tensor& value = graph[node.inputs[1]].value;
    const kernels::Conv2dShape shape = conv2d_shape(graph, node);
    const auto bits = static_cast<int>(node.attributes.integer("bits"));
    int64_t nonzeros = 0;
    if (bits == 8) nonzeros = value.nonzeros();
    else for (const int8_t w : unpack(value, shape.in_c / shape.groups, bits)) nonzeros += w != 0;
    return {.name = node.path + ".weight", .elements = shape.weight_count(), .nonzeros = nonzeros,
            .dense_bytes = 4 * shape.weight_count(), .packed_bytes = nn::encode_zeros(value).bytes(),
            .encoding = std::to_string(bits) + " bits", .bits = bits};
}

SizeReport::Entry bias_size(const Graph& graph, const GraphNode& node) {
    const Tensor& bias = graph[node.inputs[2]].value;
    int64_t bytes = 0;
    for (const size_t k : {2, 4, 5, 6, 7, 8})
        if (node.inputs[k] >= 0) bytes += static_cast<int64_t>(graph[node.inputs[k]].value.bytes());
    return {.name = node.path + ".bias", .elements = bias.numel(), .nonzeros = bias.nonzeros(),
            .dense_bytes = 4 * bias.numel(), .packed_bytes = bytes, .encoding = "32 bits"};
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// A network of one input that runs a program.
class IntegerModule : public nn::Module {
public:
    explicit IntegerModule(std::shared_ptr<const IntegerProgram> program) : program_(std::move(program)) {}

private:
    Variable forward(const Variable& x) override { return (*program_)(x.value()); }
    std::shared_ptr<const IntegerProgram> program_;
};

}  // namespace

IntegerProgram::IntegerProgram(IntegerGraph net, nn::Description about)
    : net_(std::move(net)), about_(std::move(about)) {
    const Graph& graph = net_.graph;
    graph.check();
    const int input = graph.input();
    check(graph[graph.output].activation, "integer program: expected an output that depends on the input");
    for (const GraphNode& node : graph.nodes)
        check(!node.activation || node.dtype == DType::u8, "integer program: node '", node.path,
              "': expected values u8, got ", name_of(node.dtype));
    check_grid(net_.input, "input");
    check_grid(net_.output, "output");
    check(net_.ending.empty() || Op(net_.ending)->traits.probabilities,
          "integer program: expected an ending of softmax, log_softmax or none, got '", net_.ending, "'");
    image_ = graph[input].shape;
    result_ = graph[graph.output].shape;
    check(image_.rank() >= 1 && image_[0] == 1, "integer program: expected one image, got ", image_);
    for (int i = 0; i < graph.size(); ++i) steps_.push_back(make_integer_step(graph, i));
    plan_ = plan_memory(graph, {.alignment = kIntegerAlignment});
    plan_.check(graph);
}

int64_t IntegerProgram::workspace_bytes(int64_t images) const {
    int64_t most = 0;
    for (const IntegerStep& step : steps_)
        if (step.workspace) most = std::max(most, step.workspace(images));
    return most;
}

Shape IntegerProgram::result_for(const Tensor& x) const {
    Shape expected = image_, result = result_;
    if (x && x.rank() > 0) expected[0] = result[0] = x.dim(0);
    check(x && x.shape() == expected && x.dtype() == DType::f32, "integer program: expected an input f32 ", image_,
          " of any number of images, got ", x ? name_of(x.dtype()) : "none", " ", x.shape());
    return result;
}

Tensor IntegerProgram::operator()(const Tensor& x) const {
    Tensor y(result_for(x));
    if (y.numel() == 0) return y;
    IntegerRun(*this, IntegerRun::fitting(*this, x.dim(0)))(x.dim(0), x.data<float>(), y.mutable_data<float>());
    if (net_.ending.empty()) return y;
    return run_op(net_.ending, {}, std::vector<Variable>{y}).value();
}

nn::NetworkProfile IntegerProgram::profile(const Tensor& x, int runs) const {
    const Graph& graph = net_.graph;
    Tensor y(result_for(x));
    const int64_t images = x.dim(0);
    IntegerRun run(*this, images);
    std::vector<std::vector<double>> seconds(graph.nodes.size());
    run(images, x.data<float>(), y.mutable_data<float>());  // warms up
    for (int i = 0; i < std::max(runs, 1); ++i) {
        std::vector<double> once(graph.nodes.size());
        run(images, x.data<float>(), y.mutable_data<float>(), &once);
        for (size_t k = 0; k < once.size(); ++k) seconds[k].push_back(once[k]);
    }
    nn::NetworkProfile profile{.layers = {}, .plan = plan_};
    for (MemoryPlan::Buffer& buffer : profile.plan.buffers) buffer.bytes *= images, buffer.offset *= images;
    profile.plan.total *= images, profile.plan.lower_bound *= images;
    for (int b : plan_.alive_at(plan_.busiest)) profile.alive.push_back(graph[at(plan_.buffers, b).first].path);
    const SizeReport size = measure_size(*this);
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& node = graph[i];
        const IntegerStep& step = at(steps_, i);
        if (!step.run) continue;
        Shape output = node.shape;
        output[0] = images;
        nn::LayerProfile layer{.name = node.path, .op = node.op, .output = output, .activation_bytes = output.numel()};
        layer.macs = images * macs(graph, node);
        layer.done_macs = static_cast<int64_t>(static_cast<double>(layer.macs) * (step.done ? step.done(images) : 1));
        layer.effective_macs = images * effective_macs(graph, node, size);
        if (step.kernel) layer.kernel = step.kernel(kernels::integer::table(), images);
        if (step.workspace) layer.workspace_bytes = step.workspace(images);
        if (node.op->layer)
            for (const SizeReport::Entry& entry : {weight_size(graph, node), bias_size(graph, node)})
                layer.params += entry.elements, layer.nonzeros += entry.nonzeros;
        layer.seconds = median(at(seconds, i));
        profile.layers.push_back(layer);
    }
    return profile;
}

IntegerRun::IntegerRun(const IntegerProgram& program, int64_t images)
    : program_(program),
      images_(images),
      block_(static_cast<size_t>(program.plan_.total * images)),
      scratch_(static_cast<size_t>(program.workspace_bytes(images))) {
    const Graph& graph = program.net_.graph;
    for (int i = 0; i < graph.size(); ++i) {
        const int buffer = at(program.plan_.buffer_of, i);
        elements_.push_back(buffer < 0 ? nullptr : block_.data() + at(program.plan_.buffers, buffer).offset * images);
    }
}

int64_t IntegerRun::fitting(const IntegerProgram& program, int64_t images) {
    constexpr int64_t kCacheBytes = 1 << 20, kSparseImages = 16;
    const int64_t fit = std::max<int64_t>(1, kCacheBytes / std::max<int64_t>(program.plan_.total, 1));
    const auto sparse = [](const IntegerStep& step) { return step.done && step.done(kSparseImages) < 1; };
    const bool any = std::any_of(program.steps_.begin(), program.steps_.end(), sparse);
    return std::max<int64_t>(1, std::min(images, std::max(fit, any ? kSparseImages : 1)));
}

void IntegerRun::operator()(int64_t images, const float* x, float* y, std::vector<double>* seconds) {
    const int64_t in = program_.image_.numel(), out = program_.result_.numel();
    for (int64_t first = 0; first < images; first += images_)
        pass(std::min(images_, images - first), x + first * in, y + first * out, seconds);
}

void IntegerRun::pass(int64_t images, const float* x, float* y, std::vector<double>* seconds) {
    const Graph& graph = program_.net_.graph;
    const IntegerFrame frame{images, elements_, scratch_.data(), kernels::integer::table()};
    const Grid8 in = program_.net_.input;
    uint8_t* from = frame.at(graph.inputs[0]);
    parallel_for(images * program_.image_.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
        frame.kernels.elementwise.quantize(end - begin, x + begin, in.scale, in.zero, in.high, from + begin);
    });
    for (int i = 0; i < graph.size(); ++i) {
        const IntegerStep& step = at(program_.steps_, i);
        if (!step.run) continue;
        const double start = seconds ? now() : 0;
        step.run(frame);
        if (seconds) at(*seconds, i) += now() - start;
    }
    const uint8_t* result = frame.at(graph.output);
    const Grid8 out = program_.net_.output;
    for (int64_t i = 0; i < images * program_.result_.numel(); ++i)
        y[i] = integer::dequantize(result[i], out.scale, out.zero);
}

SizeReport measure_size(const IntegerProgram& program) {
    SizeReport report;
    const Graph& graph = program.net().graph;
    for (const GraphNode& node : graph.nodes)
        if (node.op->layer)
            for (const SizeReport::Entry& entry : {weight_size(graph, node), bias_size(graph, node)})
                report.parameters.push_back(entry);
    return report;
}

std::unique_ptr<nn::Model> as_model(std::shared_ptr<const IntegerProgram> program) {
    const nn::Description& about = program->about();
    auto model =
        std::make_unique<nn::Model>(about.architecture, about.options, std::make_unique<IntegerModule>(program));
    model->class_names = about.class_names;
    model->scaling = about.scaling;
    model->metadata = about.metadata;
    model->eval();
    return model;
}

}  // namespace lathe::compress
