#include "lathe/core/graph/op_table.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "lathe/core/ops/rows.h"

namespace lathe {

namespace {

constexpr int64_t kLargest = int64_t{1} << 31;

// Rows never move and never go, so handles stay good.
class Table {
public:
    Table() {
        for (const char* name : {"input", "buffer", "constant"})
            add({.name = name, .min_inputs = 0, .max_inputs = 0, .leaf = true});
        add({.name = "parameter",  // and how it is arranged against its order in files, see nn/parameter.h
             .min_inputs = 0,
             .max_inputs = 0,
             .attributes = {{.type = AttributeSpec::text, .name = "order", .optional = true},
                            {.type = AttributeSpec::integer, .name = "pixels", .optional = true}},
             .leaf = true});
        for (OpInfo& row : ops::rows()) add(std::move(row));
    }

    OpInfo& add(OpInfo info) {
        OpInfo& row = rows_.emplace_back(std::move(info));
        return *(index_[row.name] = &row);
    }

    OpInfo* find(std::string_view name) const {
        const auto found = index_.find(name);
        return found == index_.end() ? nullptr : found->second;
    }

    std::vector<std::string> names() const {
        std::vector<std::string> found;
        for (const auto& [name, row] : index_)
            if (!row->leaf && row->run) found.emplace_back(name);
        std::sort(found.begin(), found.end());
        return found;
    }

    std::mutex mutex;

private:
    std::deque<OpInfo> rows_;
    std::unordered_map<std::string_view, OpInfo*> index_;
};

Table& table() {
    static Table* all = new Table;  // handles may outlive every static object
    return *all;
}

bool has_type(const Attribute& value, AttributeSpec::Type type) { return value.index() == static_cast<size_t>(type); }

const char* name_of(AttributeSpec::Type type) {
    constexpr const char* names[] = {"an integer", "a number", "a text", "a list of integers"};
    return names[type];
}

void check_value(const std::string& op, const AttributeSpec& spec, const Attribute& value) {
    check(has_type(value, spec.type), op, ": expected ", name_of(spec.type), " for the attribute '", spec.name, "'");
    const auto small = [](int64_t number) { return number >= -kLargest && number <= kLargest; };
    if (const auto* number = std::get_if<int64_t>(&value))
        check(small(*number), op, ": expected '", spec.name, "' of at most 2^31, got ", *number);
    if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) {
        check(spec.count < 0 ? list->size() <= Shape::kMaxRank : list->size() == static_cast<size_t>(spec.count), op,
              ": expected ", spec.count < 0 ? "at most " : "", spec.count < 0 ? Shape::kMaxRank : spec.count,
              " numbers in '", spec.name, "', got ", list->size());
        check(std::all_of(list->begin(), list->end(), small), op, ": expected numbers of at most 2^31 in '", spec.name,
              "'");
    }
}

}  // namespace

void OpInfo::check_call(const Attributes& given, size_t inputs) const {
    check(leaf || run, "graph: no op is called '", name, "'");
    const auto count = static_cast<int>(inputs);
    const auto expected = [&] {
        if (max_inputs < 0) return concatenated("at least ", min_inputs);
        return min_inputs == max_inputs ? std::to_string(min_inputs) : concatenated(min_inputs, " to ", max_inputs);
    };
    check(count >= min_inputs && (max_inputs < 0 || count <= max_inputs), name, ": expected ", expected(),
          " inputs, got ", count);
    size_t known = 0;
    for (const AttributeSpec& spec : attributes)
        if (const Attribute* value = given.find(spec.name)) {
            check_value(name, spec, *value);
            ++known;
        } else {
            check(spec.optional, name, ": the attribute '", spec.name, "' is missing");
        }
    if (known == given.size()) return;
    std::vector<std::string> names;
    for (const AttributeSpec& spec : attributes) names.emplace_back(spec.name);
    for (const auto& [key, value] : given)
        if (std::find(names.begin(), names.end(), key) == names.end()) {
            const std::string hint = nearest_name(key, names);
            fail(name, ": no attribute is called '", key, "'", hint.empty() ? "" : "; ", hint);
        }
    fail(name, ": an attribute is given twice in ", given.str());
}

Op::Op(std::string_view name) {
    Table& all = table();
    const std::lock_guard lock(all.mutex);
    info_ = all.find(name);
    if (!info_) info_ = &all.add({.name = std::string(name), .min_inputs = 0, .max_inputs = -1});
}

void register_op(OpInfo info) {
    Table& all = table();
    const std::lock_guard lock(all.mutex);
    check(info.run && info.shape, "register_op: expected run and shape of '", info.name, "'");
    OpInfo* row = all.find(info.name);  // there without a run when such an op was traced before
    check(!row || (!row->leaf && !row->run), "register_op: the name '", info.name, "' is taken");
    if (row) *row = std::move(info);
    else all.add(std::move(info));
}

std::vector<std::string> op_names() {
    const std::lock_guard lock(table().mutex);
    return table().names();
}

const OpInfo& op_info(const std::string& name) {
    {
        const std::lock_guard lock(table().mutex);
        if (const OpInfo* row = table().find(name); row && (row->leaf || row->run)) return *row;
    }
    const std::string hint = nearest_name(name, op_names());
    fail("no op is called '", name, "'", hint.empty() ? "" : "; ", hint);
}

Variable run_op(Op op, const Attributes& attributes, Inputs inputs, Mode mode) {
    check(!op->leaf && op->run, "graph: cannot run '", op.name(), "'");
    op->check_call(attributes, inputs.size());
    return op->run(attributes, inputs, mode);
}

Attributes with_defaults(const OpInfo& op, const Attributes& given) {
    Attributes all = given;
    for (const AttributeSpec& spec : op.attributes)
        if (!all.has(spec.name) && !spec.optional) {
            check(!spec.required, op.name, ": expected the attribute '", spec.name, "'");
            all.add(spec.name, spec.otherwise);
        }
    return all;
}

}  // namespace lathe
