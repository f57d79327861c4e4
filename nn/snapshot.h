#pragma once
#include <map>
#include <string>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// A copy of what a module holds: parameters with their gradients and the optimizer's slots, transforms with what is
// theirs, buffers. Puts that module, or another with the same names, back.
class Snapshot {
public:
    explicit Snapshot(Module& module);

    struct What {
        bool transforms = true;  // they become those of the snapshot; else they stay, with their parameters
        bool training = true;    // gradients, slots and what is frozen come back; else gradients and slots are dropped
    };
    // Error: a parameter or buffer that the snapshot does not have; with transforms that stay, another shape.
    void restore(Module& module, const What& what) const;
    void restore(Module& module) const { restore(module, What{}); }

private:
    struct SavedTransform;
    struct SavedParameter {
        Tensor value, grad;
        std::map<std::string, Tensor> slots;
        int64_t updates;
        bool trainable;
        std::vector<SavedTransform> transforms;
    };
    struct SavedTransform {
        std::string kind;
        Attributes config;
        std::map<std::string, Tensor> state;
        std::map<std::string, SavedParameter> own;
    };
    static SavedParameter saved(Parameter& parameter);
    static void restore(Parameter& parameter, const SavedParameter& saved, const What& what);

    std::map<std::string, SavedParameter> parameters_;
    std::map<std::string, Tensor> buffers_;
};

// Puts a module back at the end of a scope.
class SnapshotScope {
public:
    explicit SnapshotScope(Module& module) : module_(module), snapshot_(module) {}
    ~SnapshotScope() { snapshot_.restore(module_); }
    SnapshotScope(const SnapshotScope&) = delete;
    SnapshotScope& operator=(const SnapshotScope&) = delete;

private:
    Module& module_;
    Snapshot snapshot_;
};

}  // namespace lathe::nn
