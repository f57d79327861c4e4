#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// Layers that it owns, one after the other.
//
//     Sequential net;
//     net.add<Conv2d>("conv", {.in = 1, .out = 8, .kernel = 3});
//     net.add<ReLU>("relu");
class Sequential : public Module {
public:
    template <class Layer>
    Layer& add(const std::string& name, const typename Layer::Options& options) {
        return append(name, std::make_unique<Layer>(options));
    }
    template <class Layer>
    Layer& add(const std::string& name) {
        return append(name, std::make_unique<Layer>());
    }
    template <class Layer>
    Layer& append(const std::string& name, std::unique_ptr<Layer> layer) {
        Layer& added = *layer;
        child(name, added);
        layers_.push_back(std::move(layer));
        return added;
    }

    std::vector<Module*> pieces() override {
        std::vector<Module*> pieces;
        for (const auto& layer : layers_)
            for (Module* piece : layer->pieces()) pieces.push_back(piece);
        return pieces;
    }

private:
    Variable forward(const Variable& x) override {
        Variable y = x;
        for (const auto& layer : layers_) y = (*layer)(y);
        return y;
    }

    std::vector<std::unique_ptr<Module>> layers_;
};

}  // namespace lathe::nn
