#pragma once
#include "lathe/nas/space/layers.h"

namespace lathe::nas {

// Bytes of the block that holds one image's activations while the network runs as an integer program
// (compress/integer/program.h), to the byte what IntegerProgram::memory_plan says of the network built.
int64_t arena(const Layers& layers);

}  // namespace lathe::nas
