#include "lathe/tools/settings.h"

#include <nlohmann/json.hpp>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"

namespace lathe::tools {

using Json = nlohmann::ordered_json;

namespace {

std::string name_of(const CLI::Option& option) { return option.get_single_name(); }
bool is_setting(const CLI::Option& option) {
    return name_of(option) != "help" && name_of(option) != "resume" && name_of(option) != "force";
}
bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }
bool is_list(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

// A word as the JSON value it spells: a number, else a string.
Json value_of(const std::string& word) {
    const Json value = Json::parse(word, nullptr, false);
    return value.is_number() ? value : Json(word);
}

std::string word_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

}  // namespace

std::string settings_json(const CLI::App& command) {
    Json settings = Json::object();
    for (const CLI::Option* option : command.get_options()) {
        if (!is_setting(*option)) continue;
        Json& setting = settings[name_of(*option)];
        if (is_flag(*option)) {
            setting = option->count() > 0;
        } else if (is_list(*option)) {
            setting = Json::array();
            for (const std::string& word : option->results()) setting.push_back(word);
        } else {
            setting = value_of(option->count() ? option->results().front() : option->get_default_str());
        }
    }
    return settings.dump(2) + "\n";
}

void restore_settings(CLI::App& command, const std::string& path, const std::set<std::string>& may_differ) {
    const std::string text = read_text_file(path);
    const Json settings = Json::parse(text, nullptr, false);
    check(settings.is_object(), path, ": expected a JSON object of settings");
    for (CLI::Option* option : command.get_options()) {
        const std::string name = name_of(*option);
        if (!is_setting(*option) || !settings.contains(name)) continue;
        const Json& before = settings[name];
        if (option->count()) {
            const Json now = is_flag(*option) ? Json(true) : is_list(*option) ? Json(option->results()) : value_of(option->results().front());
            check(now == before || may_differ.count(name), "--resume: --", name, " was ", before.dump(), " in ", path, ", got ", now.dump());
            continue;
        }
        if (before.is_boolean()) {
            if (before.get<bool>()) option->add_result("true");
        } else if (before.is_array()) {
            for (const Json& item : before) option->add_result(word_of(item));
        } else if (word_of(before) != option->get_default_str()) {
            option->add_result(word_of(before));
        }
        if (option->count()) option->run_callback();
    }
}

}  // namespace lathe::tools
