#include "lathe/core/files/json.inc"

#include <set>
#include <vector>

#include "lathe/core/error.h"

namespace lathe {

namespace {

using nlohmann::json;

// Hears of every value without keeping it.
class Checker : public nlohmann::json_sax<json> {
public:
    Checker(const std::string& name, int max_depth) : name_(name), max_depth_(static_cast<size_t>(max_depth)) {}

    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(json::number_integer_t) override { return true; }
    bool number_unsigned(json::number_unsigned_t) override { return true; }
    bool number_float(json::number_float_t, const std::string&) override { return true; }
    bool string(std::string&) override { return true; }
    bool binary(json::binary_t&) override { return true; }
    bool start_object(size_t) override { return open(); }
    bool start_array(size_t) override { return open(); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(std::string& text) override {
        check(keys_.back().insert(text).second, name_, ": duplicate key \"", shortened(text, 80), "\"");
        return true;
    }
    bool parse_error(size_t, const std::string&, const json::exception&) override { return false; }

private:
    bool open() {
        check(keys_.size() < max_depth_, name_, ": expected at most ", max_depth_, " nested levels, got more");
        keys_.emplace_back();
        return true;
    }
    bool close() { return keys_.pop_back(), true; }

    const std::string& name_;
    const size_t max_depth_;
    std::vector<std::set<std::string>> keys_;  // of the open objects; none of an array
};

}  // namespace

std::string_view checked_json(std::string_view text, const std::string& name, int max_depth) {
    Checker checker(name, max_depth);
    check(json::sax_parse(text, &checker), name, ": expected JSON in UTF-8");
    return text;
}

nlohmann::json parse_json(std::string_view text, const std::string& name, int max_depth) {
    return json::parse(checked_json(text, name, max_depth));
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& name) {
    return nlohmann::ordered_json::parse(checked_json(text, name));
}

std::string text_of(const nlohmann::json& value, int indent) {
    return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

std::string text_of(const nlohmann::ordered_json& value, int indent) {
    return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

}  // namespace lathe
