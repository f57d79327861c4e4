#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace lathe {

// The settings of a recorded op, in the order in which the op names them.
using Attribute = std::variant<int64_t, double, std::string, std::vector<int64_t>>;

class Attributes {
public:
    Attributes() = default;
    Attributes(std::initializer_list<std::pair<std::string, Attribute>> items) : items_(items) {}

    void add(std::string name, Attribute value) { items_.emplace_back(std::move(name), std::move(value)); }
    void set(const std::string& name, Attribute value);  // replaces or adds
    bool has(const std::string& name) const { return find(name) != nullptr; }
    // Error: no attribute of that name and type.
    int64_t integer(const std::string& name) const;
    double real(const std::string& name) const;
    const std::string& text(const std::string& name) const;
    const std::vector<int64_t>& integers(const std::string& name) const;

    auto begin() const { return items_.begin(); }
    auto end() const { return items_.end(); }
    std::string str() const;  // "stride=[1, 1] groups=1"

private:
    const Attribute* find(const std::string& name) const;
    template <class T>
    const T& get(const std::string& name) const;

    std::vector<std::pair<std::string, Attribute>> items_;
};

}  // namespace lathe
