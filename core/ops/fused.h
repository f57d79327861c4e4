#pragma once

namespace lathe::ops {

// An activation that an op applies to its result in the same pass over memory.
enum class Activation { none, relu };

inline const char* name_of(Activation activation) { return activation == Activation::relu ? "relu" : "none"; }

}  // namespace lathe::ops
