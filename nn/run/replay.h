#pragma once
#include <map>

#include "lathe/nn/module.h"

namespace lathe::nn {

// Runs a module on one input again and again while, from run to run, only a layer late in it changes: what the layers before
// that one gave is kept from earlier runs. Scanning all layers of a network in order then costs half of whole runs.
//
//     Replay replay(net, x);
//     for (Conv2d* layer : layers)
//         for (…) change(*layer), replay.run(*layer);   // and back to what it was, before the next layer
class Replay {
public:
    // The module in evaluation mode, without gradients. It must not change otherwise while this lives.
    Replay(Module& module, Tensor x) : module_(module), x_(std::move(x)) {}

    // The output, given that no layer that runs before `changed` is other than in earlier runs.
    // Error: the module does not run `changed`.
    Tensor run(const Module& changed);

private:
    friend class Module;
    struct Result {
        Variable output;
        int64_t next;  // number of the first call after this one and those within it
    };
    static thread_local Replay* active;
    Variable call(Module& module, const Variable& x);  // instead of module.forward(x)

    Module& module_;
    Tensor x_;
    std::map<int64_t, Result> results_;  // of finished calls by number, without the ones within them
    const Module* changed_ = nullptr;    // null once it has been reached
    int64_t next_ = 0;
};

}  // namespace lathe::nn
