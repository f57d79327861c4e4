#pragma once
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "lathe/core/text.h"

namespace lathe {

// The one exception of the library. The message names the op, layer or file, what was expected and what came, on one
// line of a readable length whatever it quotes.
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& message);
};

namespace detail {
[[noreturn]] void fail(std::initializer_list<Part> parts);
}  // namespace detail

// Throws an Error whose message is the parts joined together.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    detail::fail({detail::Part(parts)...});
}

// Throws an Error made of the parts unless the condition holds.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]]
        detail::fail({detail::Part(parts)...});
}

// While it lives, errors raised and ops recorded on this thread carry `name` in their layer path ("layer1.0.conv1").
// The string must outlive the scope.
class PathScope {
public:
    explicit PathScope(const std::string& name);
    ~PathScope();
    PathScope(const PathScope&) = delete;
    PathScope& operator=(const PathScope&) = delete;

private:
    friend std::string current_path();
    const std::string& name_;
    const PathScope* outer_;
};

// The names of the living PathScopes of this thread, joined with dots; empty outside any.
std::string current_path();

// "did you mean 'x'?" for a misspelt name: the nearest candidate by edit distance, or "" when none is near.
std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace lathe
