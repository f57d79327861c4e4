#pragma once
#include <algorithm>
#include <limits>
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

    // Runs only the first `count` layers from now on. Error: more than there are.
    void use_first(size_t count) {
        check(count <= layers_.size(), "sequential: expected at most ", layers_.size(), " layers, got ", count);
        active_ = count;
    }
    size_t size() const { return layers_.size(); }

    std::vector<Module*> pieces() override {
        std::vector<Module*> pieces;
        for (size_t i = 0; i < active(); ++i)
            for (Module* piece : layers_[i]->pieces()) pieces.push_back(piece);
        return pieces;
    }

private:
    Variable forward(const Variable& x) override {
        Variable y = x;
        for (size_t i = 0; i < active(); ++i) y = (*layers_[i])(y);
        return y;
    }
    size_t active() const { return std::min(active_, layers_.size()); }

    std::vector<std::unique_ptr<Module>> layers_;
    size_t active_ = std::numeric_limits<size_t>::max();  // all, also of those to come
};

}  // namespace lathe::nn
