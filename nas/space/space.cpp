#include "lathe/nas/space/space.h"

#include <algorithm>

#include "lathe/core/error.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/json.inc"

namespace lathe::nas {

namespace {

using nn::json_reader::json;

// The keys of an arch's text.
std::vector<std::string> keys_of(const Choices& choices) {
    std::vector<std::string> keys{"wid", "ks", "e", "d", "image_size"};
    if (!choices.bits.empty()) keys.insert(keys.end(), {"bits", "kept"});
    return keys;
}

std::string list_of(const std::vector<int>& values) {
    std::string text;
    for (int value : values) text += format(text.empty() ? "%d" : ",%d", value);
    return "[" + text + "]";
}

// "3, 5 or 7"
std::string alternatives(const std::vector<int>& choices) {
    std::string text;
    for (size_t i = 0; i < choices.size(); ++i)
        text += (i == 0 ? "" : i + 1 < choices.size() ? ", " : " or ") + std::to_string(choices[i]);
    return text;
}

void check_choice(const std::string& what, int value, const std::vector<int>& choices) {
    check(std::find(choices.begin(), choices.end(), value) != choices.end(), what, ": expected ",
          alternatives(choices), ", got ", value);
}

void check_list(const char* what, const std::vector<int>& values, size_t length, const std::vector<int>& choices) {
    check(values.size() == length, what, ": expected ", length, " numbers, got ", values.size());
    for (size_t i = 0; i < length; ++i)
        check_choice(std::string(what) + "[" + std::to_string(i) + "]", values[i], choices);
}

int number(const json& value, const std::string& what) {
    const int64_t read = nn::json_reader::integer(value, what);
    check(read >= 0 && read <= 1'000'000, what, ": expected a number up to 1000000, got ", read);
    return static_cast<int>(read);
}

int drawn(const std::vector<int>& choices, Random& random) {
    return choices[static_cast<size_t>(random.below(static_cast<int64_t>(choices.size())))];
}

}  // namespace

std::string Arch::str() const {
    std::string text = "{\"wid\":" + std::to_string(wid) + ",\"ks\":" + list_of(ks) + ",\"e\":" + list_of(e) +
                       ",\"d\":" + list_of(d) + ",\"image_size\":" + std::to_string(image_size);
    if (!bits.empty()) text += ",\"bits\":" + list_of(bits) + ",\"kept\":" + list_of(kept);
    return text + "}";
}

Arch Arch::uncompressed() const {
    Arch arch = *this;
    arch.bits.clear(), arch.kept.clear();
    return arch;
}

size_t Space::blocks() const {
    int count = 0;
    for (const Stage& stage : stages) count += stage.full_depth;
    return static_cast<size_t>(count);
}

int Space::depth(const Arch& arch, size_t stage) const {
    return std::min(stages[stage].base_depth + arch.d[stage], stages[stage].full_depth);
}

Arch Space::canonical(Arch arch) const {
    size_t first = 0;
    for (size_t s = 0; s < stages.size(); ++s) {
        const int depth = this->depth(arch, s);
        for (int i = depth; i < stages[s].full_depth; ++i)
            for (const auto& [key, values, of] : kBlockChoices)
                if (!(choices.*of).empty()) (arch.*values)[first + static_cast<size_t>(i)] = (choices.*of).front();
        arch.d[s] = depth - stages[s].base_depth;
        first += static_cast<size_t>(stages[s].full_depth);
    }
    return arch;
}

// A block that does not run makes no difference, nor does a depth beyond the full one.
std::string Space::count() const {
    unsigned __int128 all = choices.wid.size() * choices.image_size.size();
    for (const Stage& stage : stages) {
        unsigned __int128 of_stage = 0;
        for (int depth = 1; depth <= stage.full_depth; ++depth) {
            const bool chosen = std::any_of(choices.d.begin(), choices.d.end(), [&](int d) {
                return std::min(stage.base_depth + d, stage.full_depth) == depth;
            });
            unsigned __int128 blocks = chosen ? 1 : 0;
            for (int i = 0; i < depth; ++i)
                for (const auto& [key, values, of] : kBlockChoices)
                    blocks *= std::max<size_t>(1, (choices.*of).size());
            of_stage += blocks;
        }
        all *= of_stage;
    }
    std::string digits;
    for (; all > 0; all /= 10) digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(all % 10)));
    return digits;
}

void Space::check(const Arch& arch) const {
    static const std::string path = "arch";
    const PathScope scope(path);
    check_choice("wid", arch.wid, choices.wid);
    for (const auto& [key, values, of] : kBlockChoices)
        check_list(key, arch.*values, (choices.*of).empty() ? 0 : blocks(), choices.*of);
    check_list("d", arch.d, stages.size(), choices.d);
    check_choice("image_size", arch.image_size, choices.image_size);
}

Arch Space::parse(std::string_view text) const {
    if (text == "smallest") return smallest();
    if (text == "largest") return largest();
    const json object = parse_json(std::string(text), "arch");
    lathe::check(object.is_object(), "arch: expected an object like ", smallest().str());
    const std::vector<std::string> keys = keys_of(choices);
    for (const auto& [key, value] : object.items()) {
        const std::string hint = nearest_name(key, keys);
        lathe::check(std::find(keys.begin(), keys.end(), key) != keys.end(), "arch: unknown key '", key, "'",
                     hint.empty() ? "" : "; ", hint);
    }
    for (const std::string& key : keys) lathe::check(object.contains(key), "arch: '", key, "' is missing");
    const auto list = [&](const char* key) {
        return nn::json_reader::list(object[key], std::string("arch: ") + key, number);
    };
    Arch arch{.wid = number(object["wid"], "arch: wid"),
              .ks = {},
              .e = {},
              .d = list("d"),
              .image_size = number(object["image_size"], "arch: image_size")};
    for (const auto& [key, values, of] : kBlockChoices)
        if (!(choices.*of).empty()) arch.*values = list(key);
    check(arch);
    return arch;
}

Arch Space::uniform(bool largest) const {
    const auto end = [&](const std::vector<int>& of) { return largest ? of.back() : of.front(); };
    Arch arch{.wid = end(choices.wid),
              .ks = {},
              .e = {},
              .d = std::vector<int>(stages.size(), end(choices.d)),
              .image_size = end(choices.image_size)};
    for (const auto& [key, values, of] : kBlockChoices)
        if (!(choices.*of).empty()) (arch.*values).assign(blocks(), end(choices.*of));
    return arch;
}

// A mutation that changes all.
Arch Space::sample(Random& random) const { return mutated(smallest(), {.arch = 1, .image_size = 1}, random); }

Arch Space::mutated(Arch arch, const Mutation& mutation, Random& random) const {
    if (random.uniform() < mutation.image_size) arch.image_size = drawn(choices.image_size, random);
    if (random.uniform() < mutation.arch) arch.wid = drawn(choices.wid, random);
    for (size_t i = 0; i < arch.ks.size(); ++i)
        if (random.uniform() < mutation.arch) {
            arch.ks[i] = drawn(choices.ks, random);
            arch.e[i] = drawn(choices.e, random);
        }
    for (int& depth : arch.d)
        if (random.uniform() < mutation.arch) depth = drawn(choices.d, random);
    for (size_t i = 0; i < arch.bits.size(); ++i)
        if (random.uniform() < mutation.arch) {
            arch.bits[i] = drawn(choices.bits, random);
            arch.kept[i] = drawn(choices.kept, random);
        }
    return arch;
}

Arch Space::crossed(const Arch& a, const Arch& b, Random& random) const {
    Arch child = a;
    const auto mix = [&](int& mine, int theirs) {
        if (random.below(2)) mine = theirs;
    };
    mix(child.wid, b.wid);
    for (size_t i = 0; i < child.ks.size(); ++i) mix(child.ks[i], b.ks[i]), mix(child.e[i], b.e[i]);
    for (size_t i = 0; i < child.d.size(); ++i) mix(child.d[i], b.d[i]);
    mix(child.image_size, b.image_size);
    for (size_t i = 0; i < child.bits.size(); ++i) mix(child.bits[i], b.bits[i]), mix(child.kept[i], b.kept[i]);
    return child;
}

namespace {

std::vector<const Space*> spaces() {
    return {&mcunetv2(), &ofa_mobilenet_cifar(), &ofa_resnet_cifar(), &ofa_mobilenet_cifar_joint(),
            &ofa_resnet_cifar_joint()};
}

}  // namespace

std::vector<std::string> space_names() {
    std::vector<std::string> names;
    for (const Space* space : spaces()) names.push_back(space->name);
    return names;
}

const Space& space_named(const std::string& name) {
    for (const Space* space : spaces())
        if (space->name == name) return *space;
    const std::string hint = nearest_name(name, space_names());
    fail("unknown design space '", name, "'", hint.empty() ? "" : "; ", hint);
}

}  // namespace lathe::nas
