#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// How pixels in [0, 1] become inputs: (pixel - mean) / std, a value for each channel. Empty: used as they are.
struct InputScaling {
    std::vector<float> mean{};
    std::vector<float> std{};
};

// What a network of the zoo is built from.
struct ModelOptions {
    int64_t classes = 0;             // 0: the network's usual number
    double width = 1.0;              // multiplies every channel count
    std::vector<int64_t> widths{};   // or the channel counts one by one, where the network takes a list
    Shape input{};                   // [H, W, C], or [features]; empty: the network's usual size
    double dropout = -1;             // probability; negative: the network's usual one
    std::string arch{};              // of a design space (nas/space/space.h): which of its networks, as JSON
};

// A network that a file can hold whole: its layers, a name, and what a user needs to run it on images. The network may
// be any module, also one of the user's own: a file holds its graph.
//
//     nn::Model model("mine", {.classes = 10, .input = {32, 32, 3}}, std::make_unique<MyNet>());
class Model : public Module {
public:
    Model(std::string architecture, ModelOptions options, std::unique_ptr<Module> net);

    const std::string& architecture() const { return architecture_; }
    const ModelOptions& options() const { return options_; }  // with the defaults filled in
    const Shape& input_shape() const { return options_.input; }
    // [batch, input...] of standard normal numbers, the same each time: to trace the network with, and to time it.
    Tensor example(int64_t batch = 1) const { return example(batch, input_shape()); }
    static Tensor example(int64_t batch, const Shape& input);
    int64_t classes() const { return options_.classes; }
    Module& net() { return *net_; }
    std::vector<Module*> pieces() override { return net_->pieces(); }

    // Fresh weights without transforms for the last layer, for another number of classes; forgets the class names.
    // Error: the network does not end in a linear layer with an output for each class.
    void replace_classifier(int64_t classes);
    // Takes inputs of another size from now on. Error: the network's graph cannot (a linear layer behind a flattened
    // image).
    void set_input_shape(const Shape& input);

    std::vector<std::string> class_names{};
    InputScaling scaling{};
    std::map<std::string, std::string> metadata{};  // further texts to be kept in the model's file

private:
    Variable forward(const Variable& x) override;

    std::string architecture_;
    ModelOptions options_;
    std::unique_ptr<Module> net_;
};

}  // namespace lathe::nn
