#include "lathe/nn/module.h"

#include <algorithm>
#include <set>
#include <unordered_set>

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

// The names of parameters and of all that is above them: "layer1.0.conv1.weight", "layer1.0.conv1", "layer1.0",
// "layer1".
std::vector<std::string> layer_names(const std::vector<std::pair<std::string, Parameter*>>& parameters) {
    std::vector<std::string> names;
    for (auto [name, parameter] : parameters)
        for (size_t end = name.size(); end != std::string::npos; end = name.rfind('.'))
            names.push_back(name = name.substr(0, end));
    return names;
}

// Each thing under its first name.
template <class T>
std::vector<std::pair<std::string, T*>> without_aliases(std::vector<std::pair<std::string, T*>> named) {
    std::unordered_set<const T*> seen;
    std::erase_if(named, [&](const auto& item) { return !seen.insert(item.second).second; });
    return named;
}

// The first name of each thing's other names.
template <class T>
void find_aliases(const std::vector<std::pair<std::string, T*>>& named, std::map<std::string, std::string>& aliases) {
    std::map<const T*, std::string> first;
    for (const auto& [name, item] : named)
        if (const auto [known, is_new] = first.try_emplace(item, name); !is_new) aliases[name] = known->second;
}

bool same_elements(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && std::equal(a.raw(), a.raw() + a.bytes(), b.raw());
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

std::vector<Parameter*> Module::own_parameters() {
    std::vector<Parameter*> found;
    const auto walk = [&](auto& self, Module& module) -> void {
        for (const auto& [name, parameter] : module.parameters_)
            if (*parameter) found.push_back(parameter);
        for (const auto& [name, child] : module.children_) self(self, *child);
    };
    walk(walk, *this);
    std::vector<Parameter*> sorted = found;  // a training step comes here: no set while nothing is shared
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end()) return found;
    std::unordered_set<const Parameter*> seen;
    std::erase_if(found, [&](const Parameter* parameter) { return !seen.insert(parameter).second; });
    return found;
}

std::vector<std::pair<std::string, Parameter*>> Module::registered_parameters() {
    std::vector<std::pair<std::string, Parameter*>> found;
    visit("", [&](const std::string& prefix, Module& module) {
        for (const auto& [name, parameter] : module.parameters_) {
            const auto add = [&, path = joined(prefix, name)](const std::string& suffix, Parameter& each) {
                found.emplace_back(path + suffix, &each);
            };
            if (*parameter) parameter->for_each(add);
        }
    });
    return found;
}

std::vector<std::pair<std::string, Tensor*>> Module::registered_buffers() {
    std::vector<std::pair<std::string, Tensor*>> found;
    visit("", [&](const std::string& prefix, Module& module) {
        for (const auto& [name, buffer] : module.buffers_) found.emplace_back(joined(prefix, name), buffer);
    });
    return found;
}

std::vector<std::pair<std::string, Parameter*>> Module::named_parameters() {
    return without_aliases(registered_parameters());
}

std::vector<std::pair<std::string, Tensor*>> Module::named_buffers() { return without_aliases(registered_buffers()); }

std::vector<std::pair<std::string, Parameter*>> Module::named_parameters(const std::string& pattern) {
    const auto all = registered_parameters();
    std::set<const Parameter*> matched;
    for (const auto& [name, parameter] : all)
        if (name_matches(pattern, name)) matched.insert(parameter);
    if (matched.empty()) {
        const std::string hint = nearest_name(pattern, layer_names(all));
        fail("no parameter matches '", pattern, "'", hint.empty() ? "" : "; ", hint);
    }
    auto found = without_aliases(all);
    std::erase_if(found, [&](const auto& item) { return !matched.count(item.second); });
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
            for (const StateEntry& entry : transform->state())
                state[name + "." + entry.suffix] = parameter->layout().beside(entry.along).to_file(entry.tensor);
    }
    for (const auto& [name, buffer] : named_buffers()) state[name] = *buffer;
    return state;
}

std::map<std::string, Tensor> Module::under_first_names(const std::map<std::string, Tensor>& state) {
    std::map<std::string, std::string> aliases;
    find_aliases(registered_parameters(), aliases);
    find_aliases(registered_buffers(), aliases);
    std::map<std::string, Tensor> named;
    for (const auto& [name, tensor] : state) {
        if (name.ends_with("num_batches_tracked")) continue;
        const auto alias = aliases.find(name);
        const std::string& first = alias == aliases.end() ? name : alias->second;
        const auto [known, is_new] = named.try_emplace(first, tensor);
        check(is_new || same_elements(known->second, tensor), "load: the names of '", first,
              "' have different tensors");
    }
    return named;
}

void Module::load_state(const std::map<std::string, Tensor>& state) {
    std::map<std::string, Tensor> left = under_first_names(state);
    auto take = [&](const std::string& name) {
        const auto found = left.find(name);
        check(found != left.end(), "load: '", name, "' is missing");
        return left.extract(found).mapped();
    };
    auto fit = [&](const std::string& name, const Tensor& stored, const Tensor& now) {
        const bool floats = is_float(stored.dtype()) && is_float(now.dtype());
        check(stored.shape() == now.shape() && (floats || stored.dtype() == now.dtype()), "load: expected '", name,
              "' of type ", name_of(now.dtype()), " and shape ", now.shape(), ", got ", name_of(stored.dtype()), " ",
              stored.shape());
        return stored.dtype() == now.dtype() ? stored.clone() : stored.to(now.dtype());
    };
    // Everything is checked before anything is set.
    std::map<Parameter*, Tensor> values;
    std::vector<std::pair<WeightTransform*, std::map<std::string, Tensor>>> transforms;
    std::vector<std::pair<Tensor*, Tensor>> buffers;
    const auto parameters = named_parameters();
    for (const auto& [name, parameter] : parameters) {
        const Tensor stored = take(name);
        check(stored.rank() == parameter->value().rank(), "load: expected '", name, "' with ",
              parameter->value().rank(), " dimensions, got shape ", stored.shape());
        values[parameter] = fit(name, parameter->layout().from_file(stored), parameter->value());
    }
    for (const auto& [name, parameter] : parameters) {
        const Shape& shape = values.at(parameter).shape();
        for (const auto& transform : parameter->transforms()) {
            std::map<std::string, Tensor> kept;
            for (const StateEntry& entry : transform->state()) {
                const Tensor stored = take(name + "." + entry.suffix);
                const PathScope of_parameter(name), scope(entry.suffix);
                kept[entry.suffix] = parameter->layout().beside(entry.along).from_file(stored).clone();
                entry.along.check_fits(kept[entry.suffix], shape);
            }
            for (const OwnParameter& own : transform->parameters()) {
                const PathScope of_parameter(name), scope(own.suffix);
                own.along.check_fits(values.at(own.parameter), shape);
            }
            transforms.emplace_back(transform.get(), std::move(kept));
        }
    }
    for (const auto& [name, buffer] : named_buffers()) buffers.emplace_back(buffer, fit(name, take(name), *buffer));
    check(left.empty(), "load: '", left.empty() ? "" : left.begin()->first, "' is not part of this model");

    for (auto& [parameter, value] : values) parameter->set_value(std::move(value));
    for (auto& [transform, kept] : transforms) transform->load_state(kept);
    for (auto& [buffer, value] : buffers) *buffer = std::move(value);
}

void Module::convert(DType dtype) {
    for_each_parameter([&](Parameter& parameter) {
        parameter.set_value(parameter.value().to(dtype));
        for (const auto& transform : parameter.transforms()) {
            std::map<std::string, Tensor> state;
            for (const StateEntry& entry : transform->state())
                state[entry.suffix] = is_float(entry.tensor.dtype()) ? entry.tensor.to(dtype) : entry.tensor;
            transform->load_state(state);
        }
    });
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
    const TraceFn run = [&](const std::vector<Variable>& x) { return module(x); };
    Graph graph = lathe::trace(run, inputs, names_of(module));
    const auto parameters = by_name(module.named_parameters());
    for (GraphNode& node : graph.nodes) {
        if (node.op != "parameter") continue;
        Parameter& parameter = *parameters.at(node.path);
        node.attributes = order_attributes(parameter.layout());
        if (!parameter.transforms().empty()) node.lowered = std::make_shared<const Lowered>(parameter.lowered());
    }
    check_pass(graph);
    return graph;
}

Graph trace_backward(Module& module, const std::vector<Tensor>& inputs) {
    const ModeScope training(module, true);
    module.zero_grad();
    const TraceFn run = [&](const std::vector<Variable>& x) { return module(x); };
    Graph graph = lathe::trace_backward(run, inputs, names_of(module));
    module.zero_grad();
    return graph;
}

}  // namespace lathe::nn
