#pragma once
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/graph/trace.h"
#include "lathe/core/tape/variable.h"
#include "lathe/nn/parameter.h"

namespace lathe::nn {

// A layer or a network of layers: named parameters, buffers and children, and a forward function.
//
//     struct Block : Module {
//         Conv2d conv{{.in = 16, .out = 16, .kernel = 3, .padding = 1}};
//         BatchNorm bn{{.channels = 16}};
//         Block() { child("conv", conv), child("bn", bn); }
//         Variable forward(const Variable& x) override { return ops::relu(bn(conv(x))); }
//     };
class Module {
public:
    virtual ~Module() = default;
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    // Runs forward inside the layer's path, so that errors and traced ops name the layer ("layer1.0.conv1").
    Variable operator()(const Variable& x);
    Variable operator()(const std::vector<Variable>& inputs);  // of a network with several inputs, or one

    // Of this module and all below, in order of registration, with dotted names, each followed by those of its
    // transforms ("conv1.weight.step"). Absent ones (no bias) are left out. What is registered twice (tied weights) is
    // one parameter: its first name counts, the others are aliases that patterns and files may use, too.
    std::vector<std::pair<std::string, Parameter*>> named_parameters();
    // Those whose name matches: `*` stands for any characters, and a pattern also matches every name below it
    // ("layer1"). Error: none does (names the nearest).
    std::vector<std::pair<std::string, Parameter*>> named_parameters(const std::string& pattern);
    std::vector<std::pair<std::string, Tensor*>> named_buffers();
    std::vector<std::pair<std::string, Module*>> named_modules();  // itself first, named ""
    int64_t parameter_count();
    void zero_grad();
    // Calls f(parameter) for the parameters of named_parameters(), without making their names.
    template <class F>
    void for_each_parameter(F&& f) {
        for (Parameter* parameter : own_parameters())
            parameter->for_each([&](const std::string&, Parameter& each) { f(each); });
    }

    // The modules that forward applies one after the other, when it does nothing else; by default itself alone.
    virtual std::vector<Module*> pieces() { return {this}; }

    // Training mode (batch statistics, dropout) or evaluation; a new module is in training mode.
    void train(bool on = true);
    void eval() { train(false); }
    bool training() const { return training_; }

    // Stops (or starts again) training the parameters whose name matches, as for named_parameters(pattern). Returns how
    // many.
    int freeze(const std::string& pattern, bool frozen = true);

    // Everything to be kept, by name and in the arrangement of files: parameters, the state of their transforms
    // ("conv1.weight.mask"), buffers. The tensors are copies where the arrangement differs, shared otherwise.
    std::map<std::string, Tensor> state();
    // Sets what state() gives; aliases may stand for names, or beside them with the same values. PyTorch's
    // num_batches_tracked is ignored; floats of another width are rounded to the layer's.
    // Error: a name missing or unknown, or another shape or element type than the layer's.
    void load_state(const std::map<std::string, Tensor>& state);

    // Parameters, floating-point buffers and state of transforms become f32, or f64 for gradient checks.
    void convert(DType dtype);

protected:
    Module() = default;
    // A module overrides one of the two: the second when it has several inputs.
    virtual Variable forward(const Variable& x);
    virtual Variable forward_all(
        const std::vector<Variable>& inputs);  // Error: as many as forward takes, one, are not given

    // Registration, in constructors. What is registered must live as long as the module. Error: the name is taken.
    void parameter(const std::string& name, Parameter& parameter);
    void buffer(const std::string& name, Tensor& buffer);
    void child(const std::string& name, Module& child);

private:
    void visit(const std::string& prefix, const std::function<void(const std::string& prefix, Module&)>& f);
    void check_free(const std::string& name) const;
    std::vector<Parameter*> own_parameters();  // those registered, in order, each once; not their transforms'
    std::vector<std::pair<std::string, Parameter*>> registered_parameters();  // under all names
    std::vector<std::pair<std::string, Tensor*>> registered_buffers();
    std::map<std::string, Tensor> under_first_names(const std::map<std::string, Tensor>& state);

    std::string name_;  // within the parent
    std::vector<std::pair<std::string, Parameter*>> parameters_;
    std::vector<std::pair<std::string, Tensor*>> buffers_;
    std::vector<std::pair<std::string, Module*>> children_;
    bool training_ = true;
};

// {name: what it names}, of named_parameters() or named_buffers().
template <class T>
std::map<std::string, T*> by_name(const std::vector<std::pair<std::string, T*>>& named) {
    return {named.begin(), named.end()};
}

// The graph of one forward of the module, in evaluation mode, with parameters and buffers under their names. A
// parameter's node stands for its effective weight: its transforms are not part of the graph.
Graph trace(Module& module, const std::vector<Tensor>& inputs);
// The same in training mode and with backward, for their times. Like a training step it moves running statistics and
// draws random numbers, but it leaves no gradients.
Graph trace_backward(Module& module, const std::vector<Tensor>& inputs);
inline Graph trace(Module& module, const Tensor& x) { return trace(module, std::vector{x}); }
inline Graph trace_backward(Module& module, const Tensor& x) { return trace_backward(module, std::vector{x}); }

// Puts a module in training or evaluation mode for the length of a scope.
class ModeScope {
public:
    ModeScope(Module& module, bool training) : module_(module), before_(module.training()) { module.train(training); }
    ~ModeScope() { module_.train(before_); }
    ModeScope(const ModeScope&) = delete;
    ModeScope& operator=(const ModeScope&) = delete;

private:
    Module& module_;
    bool before_;
};

}  // namespace lathe::nn
