#pragma once
#include <vector>

#include "lathe/core/graph/op_table.h"

// The rows of the op table. Each stands at the end of its op's source file; a new op adds its name to the list in
// rows.cpp.
namespace lathe::ops {

std::vector<OpInfo> rows();

}  // namespace lathe::ops
