#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe::testing {

// The inputs of a case recorded by tests/fixtures/make_fixtures.py, by name; float ones that have a recorded gradient
// are leaves.
struct RecordedInputs {
    std::map<std::string, Variable> values;
    Variable operator[](const std::string& name) const;  // empty when the case has none of that name
    const Tensor& tensor(const std::string& name) const; // Error: none of that name
};

// An op as it has to be called to repeat a recorded case.
struct RecordedCase {
    std::string name;  // as in the script: "conv2d.groups"
    std::function<Variable(const RecordedInputs&)> f;
};

inline std::vector<RecordedCase>& recorded_cases() {
    static std::vector<RecordedCase> cases;
    return cases;
}

// At namespace scope in an op's test, like register_cases.
inline bool register_recorded(const std::vector<RecordedCase>& cases) {
    recorded_cases().insert(recorded_cases().end(), cases.begin(), cases.end());
    return true;
}

double largest_magnitude(const Tensor& x);

// The largest difference, divided by the largest magnitude of `expected`; infinite when shapes differ or a value is
// NaN.
double relative_difference(const Tensor& got, const Tensor& expected);

}  // namespace lathe::testing
