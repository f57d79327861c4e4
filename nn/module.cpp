#include "lathe/nn/module.h"

#include <set>

#include "lathe/nn/graph_module.h"

namespace lathe::nn {

namespace {

std::string joined(const std::string& prefix, const std::string& name) {
    if (prefix.empty() || name.empty()) return prefix + name;
    return prefix + "." + name;
}

// Where the texts part, only the last * has to take more of the text: what an earlier one took was the least it could.
bool wildcard_match(const char* pattern, const char* text) {
    const char *star = nullptr, *taken = nullptr;
    while (*text) {
        if (*pattern == '*') star = pattern++, taken = text;
        else if (*pattern == *text) ++pattern, ++text;
        else if (star) pattern = star + 1, text = ++taken;
        else return false;
    }
    while (*pattern == '*') ++pattern;
    return !*pattern;
}

bool name_matches(const std::string& pattern, const std::string& name) {
    return wildcard_match(pattern.c_str(), name.c_str()) || wildcard_match((pattern + ".*").c_str(), name.c_str());
}

// The names of parameters and of all that is above them: "layer1.0.conv1.weight", "layer1.0.conv1", "layer1.0", "layer1".
std::vector<std::string> layer_names(const std::vector<std::pair<std::string, Parameter*>>& parameters) {
    std::vector<std::string> names;
    for (auto [name, parameter] : parameters)
        for (size_t end = name.size(); end != std::string::npos; end = name.rfind('.'))
            names.push_back(name = name.substr(0, end));
    return names;
}

}  // namespace

Variable Module::operator()(const Variable& x) {
    PathScope scope(name_);
    return forward(x);
}

Variable Module::operator()(const std::vector<Variable>& inputs) {
    PathScope scope(name_);
    return forward_all(inputs);
}

Variable Module::forward(const Variable&) { fail("expected several inputs, got one"); }

Variable Module::forward_all(const std::vector<Variable>& inputs) {
    check(inputs.size() == 1, "expected one input, got ", inputs.size());
    return forward(inputs[0]);
}

void Module::visit(const std::string& prefix, const std::function<void(const std::string&, Module&)>& f) {
    f(prefix, *this);
    for (const auto& [name, child] : children_) child->visit(joined(prefix, name), f);
}

std::vector<std::pair<std::string, Parameter*>> Module::named_parameters() {
    std::vector<std::pair<std::string, Parameter*>> found;
    visit("", [&](const std::string& prefix, Module& module) {
        for (const auto& [name, parameter] : module.parameters_)
            if (*parameter) found.emplace_back(joined(prefix, name), parameter);
    });
    return found;
}

std::vector<std::pair<std::string, Parameter*>> Module::named_parameters(const std::string& pattern) {
    const auto all = named_parameters();
    auto found = all;
    std::erase_if(found, [&](const auto& item) { return !name_matches(pattern, item.first); });
    if (found.empty()) {
        const std::string hint = nearest_name(pattern, layer_names(all));
        fail("no parameter matches '", pattern, "'", hint.empty() ? "" : "; ", hint);
    }
    return found;
}

std::vector<std::pair<std::string, Tensor*>> Module::named_buffers() {
    std::vector<std::pair<std::string, Tensor*>> found;
    visit("", [&](const std::string& prefix, Module& module) {
        for (const auto& [name, buffer] : module.buffers_) found.emplace_back(joined(prefix, name), buffer);
    });
    return found;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
    std::vector<std::pair<std::string, Module*>> found;
    visit("", [&](const std::string& prefix, Module& module) { found.emplace_back(prefix, &module); });
    return found;
}

int64_t Module::parameter_count() {
    int64_t count = 0;
    for_each_parameter([&](const Parameter& parameter) { count += parameter.value().numel(); });
    return count;
}

void Module::zero_grad() {
    for_each_parameter([](Parameter& parameter) { parameter.zero_grad(); });
}

void Module::train(bool on) {
    visit("", [&](const std::string&, Module& module) { module.training_ = on; });
}

int Module::freeze(const std::string& pattern, bool frozen) {
    static const std::string name = "freeze";
    const PathScope scope(name);
    const auto matched = named_parameters(pattern);
    for (const auto& [path, parameter] : matched) parameter->set_trainable(!frozen);
    return static_cast<int>(matched.size());
}

std::map<std::string, Tensor> Module::state() {
    std::map<std::string, Tensor> state;
    for (const auto& [name, parameter] : named_parameters()) {
        state[name] = parameter->layout().to_file(parameter->value());
        for (const auto& transform : parameter->transforms())
            for (const auto& [suffix, tensor] : transform->state())
                state[name + "." + suffix] = tensor.shape() == parameter->shape() ? parameter->layout().to_file(tensor) : tensor;
    }
    for (const auto& [name, buffer] : named_buffers()) state[name] = *buffer;
    return state;
}

void Module::load_state(const std::map<std::string, Tensor>& state) {
    std::set<std::string> left;
    for (const auto& [name, tensor] : state)
        if (!name.ends_with("num_batches_tracked")) left.insert(name);
    auto take = [&](const std::string& name) -> const Tensor& {
        const auto found = state.find(name);
        check(found != state.end(), "load: '", name, "' is missing");
        left.erase(name);
        return found->second;
    };
    auto fit = [&](const std::string& name, const Tensor& stored, const Tensor& now) {
        check(stored.shape() == now.shape() && stored.dtype() == now.dtype(), "load: expected '", name, "' of type ", name_of(now.dtype()), " and shape ",
              now.shape(), ", got ", name_of(stored.dtype()), " ", stored.shape());
        return stored.clone();
    };
    // Everything is checked before anything is set.
    std::vector<std::pair<Parameter*, Tensor>> values;
    std::vector<std::pair<WeightTransform*, std::map<std::string, Tensor>>> transforms;
    std::vector<std::pair<Tensor*, Tensor>> buffers;
    for (const auto& [name, parameter] : named_parameters()) {
        const Tensor& stored = take(name);
        const FileOrder& layout = parameter->layout();
        check(stored.rank() == parameter->value().rank(), "load: expected '", name, "' with ", parameter->value().rank(),
              " dimensions, got shape ", stored.shape());
        values.emplace_back(parameter, fit(name, layout.from_file(stored), parameter->value()));
        for (const auto& transform : parameter->transforms()) {
            std::map<std::string, Tensor> kept = transform->state();
            for (auto& [suffix, tensor] : kept) {
                tensor = take(name + "." + suffix);
                tensor = (tensor.shape() == stored.shape() ? layout.from_file(tensor) : tensor).clone();
            }
            transforms.emplace_back(transform.get(), std::move(kept));
        }
    }
    for (const auto& [name, buffer] : named_buffers()) buffers.emplace_back(buffer, fit(name, take(name), *buffer));
    check(left.empty(), "load: '", left.empty() ? "" : *left.begin(), "' is not part of this model");

    for (auto& [parameter, value] : values) parameter->set_value(std::move(value));
    for (auto& [transform, kept] : transforms) transform->load_state(kept);
    for (auto& [buffer, value] : buffers) *buffer = std::move(value);
}

void Module::convert(DType dtype) {
    for (const auto& [name, parameter] : named_parameters()) parameter->set_value(parameter->value().to(dtype));
    for (const auto& [name, buffer] : named_buffers())
        if (is_float(buffer->dtype())) *buffer = buffer->to(dtype);
}

void Module::check_free(const std::string& name) const {
    auto taken = [&](const auto& list) {
        for (const auto& [other, item] : list)
            if (other == name) return true;
        return false;
    };
    check(!taken(parameters_) && !taken(buffers_) && !taken(children_), "module: the name '", name, "' is taken");
}

void Module::parameter(const std::string& name, Parameter& parameter) {
    check_free(name);
    parameters_.emplace_back(name, &parameter);
}

void Module::buffer(const std::string& name, Tensor& buffer) {
    check_free(name);
    buffers_.emplace_back(name, &buffer);
}

void Module::child(const std::string& name, Module& child) {
    check_free(name);
    child.name_ = name;
    children_.emplace_back(name, &child);
}

namespace {

// Effective weights are made before tracing begins, so that the graph meets them ready.
TraceNames names_of(Module& module) {
    TraceNames names;
    for (const auto& [name, parameter] : module.named_parameters())
        names[parameter->effective().value().raw()] = {"parameter", name};
    for (const auto& [name, buffer] : module.named_buffers()) names[buffer->raw()] = {"buffer", name};
    return names;
}

}  // namespace

Graph trace(Module& module, const std::vector<Tensor>& inputs) {
    const ModeScope eval(module, false);
    const NoGrad no_grad;
    const Forward run = [&](const std::vector<Variable>& x) { return module(x); };
    Graph graph = lathe::trace(run, inputs, names_of(module));
    std::map<std::string, FileOrder> orders;
    for (const auto& [name, parameter] : module.named_parameters()) orders[name] = parameter->layout();
    for (GraphNode& node : graph.nodes)
        if (node.op == "parameter") node.attributes = order_attributes(orders.at(node.path));
    check_pass(graph);
    return graph;
}

Graph trace_backward(Module& module, const std::vector<Tensor>& inputs) {
    const ModeScope training(module, true);
    module.zero_grad();
    const Forward run = [&](const std::vector<Variable>& x) { return module(x); };
    Graph graph = lathe::trace_backward(run, inputs, names_of(module));
    module.zero_grad();
    return graph;
}

}  // namespace lathe::nn
