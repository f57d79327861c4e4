#pragma once
#include <string>
#include <vector>

#include "lathe/core/files/file.h"

// Every reader of files has a source here that defines these two; `make fuzz` links each with fuzz.cpp into a libFuzzer
// program (clang, address and undefined-behaviour sanitizers) and runs it.
namespace lathe::fuzz {

// Well-formed inputs to start from.
std::vector<std::string> seeds();

// Reads the input. An Error is a good answer; anything else that is thrown, any stray access, more than 30 seconds or
// 1 GiB is a finding.
void read(Bytes bytes);

}  // namespace lathe::fuzz
