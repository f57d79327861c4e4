#pragma once
#include <cstdint>
#include <string>
#include <string_view>
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

    void add(std::string name, Attribute value);
    void set(const std::string& name, Attribute value);  // replaces or adds
    bool has(std::string_view name) const { return find(name) != nullptr; }
    const Attribute* find(std::string_view name) const;  // null: none of that name
    size_t size() const { return items_.size(); }
    // Error: no attribute of that name and type.
    int64_t integer(std::string_view name) const;
    double real(std::string_view name) const;
    const std::string& text(std::string_view name) const;
    const std::vector<int64_t>& integers(std::string_view name) const;

    auto begin() const { return items_.begin(); }
    auto end() const { return items_.end(); }
    bool operator==(const Attributes& other) const { return items_ == other.items_; }
    std::string str() const;  // "stride=[1, 1] groups=1"

private:
    template <class T>
    const T& get(std::string_view name) const;

    std::vector<std::pair<std::string, Attribute>> items_;
};

}  // namespace lathe
