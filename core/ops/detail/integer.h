#pragma once
#include "lathe/core/graph/op_table.h"

// What the rows of integer ops share. Their values are u8; a graph of them is what an integer program executes
// (compress/integer), with the arithmetic of core/integer/arithmetic.h. On the tape they do not run: there a network
// computes the same with fake_quantize.
namespace lathe::ops {

inline Variable only_in_programs(const Attributes&, Inputs, Mode) {
    fail("an integer op runs in an integer program only");
}

inline std::vector<AttributeSpec> integer_specs(std::initializer_list<const char*> names) {
    std::vector<AttributeSpec> specs;
    for (const char* name : names)
        specs.push_back({.type = AttributeSpec::integer, .name = name, .otherwise = int64_t{0}, .required = true});
    return specs;
}

}  // namespace lathe::ops
