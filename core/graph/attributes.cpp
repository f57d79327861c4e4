#include "lathe/core/graph/attributes.h"


#include "lathe/core/error.h"

namespace lathe {

const Attribute* Attributes::find(std::string_view name) const {
    for (const auto& [key, value] : items_)
        if (key == name) return &value;
    return nullptr;
}

void Attributes::add(std::string name, Attribute value) {
    items_.emplace_back(std::move(name), std::move(value));
}

void Attributes::set(const std::string& name, Attribute value) {
    for (auto& [key, present] : items_)
        if (key == name) {
            present = std::move(value);
            return;
        }
    add(name, std::move(value));
}

template <class T>
const T& Attributes::get(std::string_view name) const {
    const Attribute* attribute = find(name);
    if (!attribute) fail("attribute '", name, "' expected, got only ", str());
    const T* value = std::get_if<T>(attribute);
    check(value != nullptr, "attribute '", name, "' has another type than expected");
    return *value;
}

int64_t Attributes::integer(std::string_view name) const { return get<int64_t>(name); }
double Attributes::real(std::string_view name) const { return get<double>(name); }
const std::string& Attributes::text(std::string_view name) const { return get<std::string>(name); }
const std::vector<int64_t>& Attributes::integers(std::string_view name) const {
    return get<std::vector<int64_t>>(name);
}

std::string Attributes::str() const {
    TextStream out;
    for (const auto& [name, attribute] : items_) {
        if (out.tellp() > 0) out << ' ';
        out << name << '=';
        if (const auto* list = std::get_if<std::vector<int64_t>>(&attribute)) {
            out << '[';
            for (size_t i = 0; i < list->size(); ++i) out << (i ? ", " : "") << (*list)[i];
            out << ']';
        } else if (const auto* integer = std::get_if<int64_t>(&attribute)) {
            out << *integer;
        } else if (const auto* real = std::get_if<double>(&attribute)) {
            out << *real;
        } else {
            out << std::get<std::string>(attribute);
        }
    }
    return out.str();
}

}  // namespace lathe
