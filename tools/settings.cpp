#include "lathe/tools/settings.h"

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/files/json.inc"

namespace lathe::tools {

using Json = nlohmann::ordered_json;

namespace {

std::string name_of(const CLI::Option& option) { return option.get_single_name(); }
bool is_setting(const CLI::Option& option) {
    return name_of(option) != "help" && name_of(option) != "resume" && name_of(option) != "force";
}
bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }
bool is_list(const CLI::Option& option) { return option.get_items_expected_max() > 1; }
bool is_number(const CLI::Option& option) {
    const std::string type = option.get_type_name();  // "INT:POSITIVE"
    return type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT");
}

// A word of the command line as a JSON value: a number where the option is one and JSON spells it so, else the word
// itself.
Json value_of(const CLI::Option& option, const std::string& word) {
    check(is_utf8(word), "--", name_of(option), ": expected UTF-8, which settings are kept in, got ", word);
    const Json value = is_number(option) ? Json::parse(word, nullptr, false) : Json();
    return value.is_number() ? value : Json(word);
}

// What the command line says of an option that it names.
Json given(const CLI::Option& option) {
    if (is_flag(option)) return option.as<bool>();
    if (!is_list(option)) return value_of(option, option.results().front());
    Json words = Json::array();
    for (const std::string& word : option.results()) words.push_back(value_of(option, word));
    return words;
}

std::string word_of(const Json& value) { return value.is_string() ? value.get<std::string>() : text_of(value); }

// Gives an option the value of an earlier command line.
void restore(CLI::Option& option, const Json& before) {
    if (is_flag(option)) {
        option.add_result(before.get<bool>() ? "true" : "false");
    } else if (is_list(option)) {
        for (const Json& item : before) option.add_result(word_of(item));
    } else if (word_of(before) != option.get_default_str()) {
        option.add_result(word_of(before));
    }
    if (option.count()) option.run_callback();
}

}  // namespace

std::string settings_json(const CLI::App& command) {
    Json settings = Json::object();
    for (const CLI::Option* option : command.get_options()) {
        if (!is_setting(*option)) continue;
        Json& setting = settings[name_of(*option)];
        if (option->count()) setting = given(*option);
        else if (is_flag(*option)) setting = false;
        else if (is_list(*option)) setting = Json::array();
        else setting = value_of(*option, option->get_default_str());
    }
    return text_of(settings, 2) + "\n";
}

void restore_settings(CLI::App& command, const std::string& path, const std::set<std::string>& may_differ) {
    const std::string text = read_text_file(path);
    const Json settings = parse_ordered_json(text, path);
    check(settings.is_object(), path, ": expected a JSON object of settings");
    for (const auto& [name, before] : settings.items()) {
        CLI::Option* option = command.get_option_no_throw("--" + name);
        check(option && is_setting(*option), path, ": lathe ", command.get_name(), " has no setting '", name, "'");
        if (option->count()) {
            const Json now = given(*option);
            check(now == before || may_differ.count(name), "--resume: --", name, " was ", text_of(before), " in ", path,
                  ", got ", text_of(now));
            continue;
        }
        const bool fits = is_flag(*option)   ? before.is_boolean()
                          : is_list(*option) ? before.is_array()
                                             : before.is_primitive();
        try {
            if (fits) restore(*option, before);
        } catch (const CLI::ParseError& wrong) {
            fail(path, ": ", wrong.what());
        }
        check(fits, path, ": ", name, ": expected ",
              is_flag(*option)   ? "true or false"
              : is_list(*option) ? "a list"
                                 : "a number or a text",
              ", got ", text_of(before));
    }
}

}  // namespace lathe::tools
