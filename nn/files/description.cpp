#include "lathe/nn/files/description.h"

#include <algorithm>
#include <cmath>

#include "lathe/nn/files/json.inc"

namespace lathe::nn {

namespace {

using json_reader::integer;
using json_reader::json;
using json_reader::list;
using json_reader::member;
using json_reader::real;
using json_reader::text;
using Metadata = std::map<std::string, std::string>;

bool is_reserved(const std::string& key) { return key == "format" || key.starts_with("lathe."); }

json parse(const Metadata& metadata, const std::string& key) {
    return parse_json(metadata_entry(metadata, key), key);
}

json to_json(const ModelOptions& o) {
    return {{"classes", o.classes}, {"width", o.width}, {"widths", o.widths},
            {"input", std::vector<int64_t>(o.input.begin(), o.input.end())}, {"dropout", o.dropout}};
}

ModelOptions read_options(const Metadata& metadata) {
    const std::string what = "lathe.options";
    const json options = parse(metadata, what);
    return {.classes = integer(member(options, "classes", what), what),
            .width = real(member(options, "width", what), what),
            .widths = list(member(options, "widths", what), what, integer),
            .input = Shape(list(member(options, "input", what), what, integer)),
            .dropout = real(member(options, "dropout", what), what)};
}

void check_scaling(const InputScaling& scaling, const Shape& input, const std::string& what) {
    const auto fits = [&](const std::vector<float>& values) {
        const auto count = static_cast<int64_t>(values.size());
        return (count == 0 || count == input.back() || (input.rank() == 1 && input[0] % count == 0)) &&
               std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
    };
    check(fits(scaling.mean) && fits(scaling.std) && scaling.mean.size() == scaling.std.size() &&
              std::all_of(scaling.std.begin(), scaling.std.end(), [](float value) { return value > 0; }),
          what, ": expected no means and deviations or one of each for every channel of inputs ", input,
          ", deviations above 0");
}

InputScaling read_scaling(const Metadata& metadata, const Shape& input) {
    const std::string what = "lathe.scaling";
    const json scaling = parse(metadata, what);
    auto read = [&](const char* name) {
        const std::vector<double> values = list(member(scaling, name, what), what, real);
        return std::vector<float>(values.begin(), values.end());
    };
    const InputScaling found{.mean = read("mean"), .std = read("std")};
    check_scaling(found, input, what);
    return found;
}

std::vector<std::string> read_class_names(const Metadata& metadata, int64_t classes) {
    const std::string what = "lathe.class_names";
    std::vector<std::string> names = list(parse(metadata, what), what, text);
    check(names.empty() || static_cast<int64_t>(names.size()) == classes, what, ": expected none or ", classes,
          ", got ", names.size());
    return names;
}

}  // namespace

const std::string& metadata_entry(const Metadata& metadata, const std::string& key) {
    const auto found = metadata.find(key);
    check(found != metadata.end(), "expected the metadata entry '", key, "'");
    return found->second;
}

Description description_of(const Model& model) {
    return {model.architecture(), model.options(), model.class_names, model.scaling, model.metadata};
}

void write_description(const Description& about, Metadata& metadata) {
    const int64_t classes = about.options.classes;
    for (const auto& [key, value] : about.metadata)
        check(!is_reserved(key), "save: the metadata name '", key, "' is reserved");
    check_scaling(about.scaling, about.options.input, "save: the scaling");
    check(about.class_names.empty() || static_cast<int64_t>(about.class_names.size()) == classes,
          "save: expected no class names or ", classes, ", got ", about.class_names.size());
    metadata.insert(about.metadata.begin(), about.metadata.end());
    metadata["format"] = "pt";  // what other readers take for "names and order of PyTorch"
    metadata["lathe.architecture"] = about.architecture;
    metadata["lathe.options"] = text_of(to_json(about.options));
    metadata["lathe.class_names"] = text_of(json(about.class_names));
    metadata["lathe.scaling"] = text_of(json{{"mean", about.scaling.mean}, {"std", about.scaling.std}});
}

Description read_description(const Metadata& metadata) {
    Description about{.architecture = metadata_entry(metadata, "lathe.architecture"),
                      .options = read_options(metadata)};
    check(about.options.input.rank() >= 1, "lathe.options: expected the shape of one input, like [32, 32, 3]");
    about.class_names = read_class_names(metadata, about.options.classes);
    about.scaling = read_scaling(metadata, about.options.input);
    for (const auto& [key, value] : metadata)
        if (!is_reserved(key)) about.metadata[key] = value;
    return about;
}

void reading_file(const std::string& file, const std::function<void()>& f) {
    try {
        f();
    } catch (const Error& error) {
        std::string message = error.what();
        std::replace_if(message.begin(), message.end(), [](unsigned char c) { return c < ' '; }, '?');
        fail(file, ": ", message);
    }
}

}  // namespace lathe::nn
