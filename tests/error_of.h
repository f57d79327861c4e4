#pragma once
#include <string>

#include "lathe/core/error.h"

namespace lathe::testing {

// The message of the Error that f raises; "" when it raises none.
template <class F>
std::string error_of(F&& f) {
    std::string message;
    try {
        f();
    } catch (const Error& error) {
        message = error.what();
    }
    return message;
}

}  // namespace lathe::testing
