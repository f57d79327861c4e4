#include "lathe/nn/files/graph_json.h"

#include <algorithm>
#include <map>

#include "lathe/nn/files/json.inc"

namespace lathe::nn {

namespace {

using json_reader::json;
using ordered_json = nlohmann::ordered_json;

constexpr int64_t kMostExtent = int64_t{1} << 31, kMostElements = int64_t{1} << 34;
constexpr size_t kMostNodes = 1 << 16;

void add_attributes(ordered_json& to, const Attributes& attributes) {
    for (const auto& [name, value] : attributes)
        std::visit([&member = to[name]](const auto& plain) { member = plain; }, value);
}

Shape shape_of(const json& value, const std::string& what) {
    const std::vector<int64_t> extents = json_reader::list(value, what, json_reader::integer);
    check(extents.size() <= Shape::kMaxRank, what, ": expected a shape of at most ", Shape::kMaxRank, " dimensions");
    int64_t count = 1;
    for (int64_t extent : extents) {
        check(extent >= 1 && extent <= kMostExtent, what, ": expected extents from 1 to 2^31, got ", extent);
        count *= extent;
        check(count <= kMostElements, what, ": expected a shape of at most 2^34 elements");
    }
    return Shape(extents);
}

DType dtype_named(const std::string& name, const std::string& what) {
    for (const DType dtype : {DType::f32, DType::f64, DType::i8, DType::u8, DType::i32, DType::i64})
        if (name == name_of(dtype)) return dtype;
    fail(what, ": unknown type '", name, "'");
}

Attribute attribute_of(const AttributeSpec& spec, const json& value, const std::string& what) {
    switch (spec.type) {
        case AttributeSpec::integer:
            if (value.is_boolean()) return int64_t{value.get<bool>()};
            return json_reader::integer(value, what);
        case AttributeSpec::real: return json_reader::real(value, what);
        case AttributeSpec::text: return json_reader::text(value, what);
        case AttributeSpec::integers:
            if (value.is_array()) return json_reader::list(value, what, json_reader::integer);
            check(spec.count > 0, what, ": expected a list");
            return std::vector<int64_t>(static_cast<size_t>(spec.count), json_reader::integer(value, what));
    }
    fail(what, ": unknown attribute");
}

Attributes attributes_of(const OpInfo& op, const json& members, const std::vector<std::string>& others) {
    Attributes found;
    std::vector<std::string> known;
    for (const AttributeSpec& spec : op.attributes) {
        known.emplace_back(spec.name);
        if (members.contains(spec.name))
            found.add(spec.name, attribute_of(spec, members[spec.name], concatenated("'", spec.name, "'")));
    }
    for (const auto& [key, value] : members.items())
        if (std::find(known.begin(), known.end(), key) == known.end() &&
            std::find(others.begin(), others.end(), key) == others.end()) {
            const std::string hint = nearest_name(key, known);
            fail(op.name, ": no attribute is called '", key, "'", hint.empty() ? "" : "; ", hint);
        }
    return found;
}

// One file's nodes, read one after the other.
class Reader {
public:
    Graph read(const json& file) {
        const json& nodes = json_reader::member(file, "nodes", "graph");
        check(nodes.is_array() && nodes.size() <= kMostNodes, "graph: expected a list of at most ", kMostNodes,
              " nodes");
        for (const json& node : nodes) add(node);
        for (const std::string& name :
             json_reader::list(json_reader::member(file, "inputs", "graph"), "graph", json_reader::text))
            graph_.inputs.push_back(find(name));
        graph_.output = find(json_reader::text(json_reader::member(file, "output", "graph"), "graph"));
        graph_.check();
        return std::move(graph_);
    }

private:
    int find(const std::string& name) const {
        const auto found = index_.find(name);
        if (found != index_.end()) return found->second;
        fail("no node before is called '", name, "'");
    }

    void add(const json& entry) {
        const std::string name =
            json_reader::text(json_reader::member(entry, "name", "graph: a node"), "graph: a node's name");
        try {
            check(!index_.contains(name), "another node has this name");
            GraphNode node = read_node(entry);
            node.path = entry.contains("layer") ? json_reader::text(entry["layer"], "'layer'") : name;
            index_.emplace(name, graph_.size());  // after its inputs, of which it is none
            graph_.nodes.push_back(std::move(node));
        } catch (const Error& error) {
            fail("graph: node '", name, "': ", error.what());
        }
    }

    GraphNode read_node(const json& entry) const {
        const OpInfo& op = op_info(json_reader::text(json_reader::member(entry, "op", "a node"), "'op'"));
        GraphNode node{.op = op.name};
        if (op.leaf) {
            node.attributes = attributes_of(op, entry, {"name", "op", "layer", "shape", "dtype"});
            node.shape = shape_of(json_reader::member(entry, "shape", op.name), "'shape'");
            if (entry.contains("dtype"))
                node.dtype = dtype_named(json_reader::text(entry["dtype"], "'dtype'"), "'dtype'");
            node.activation = op.name == "input";
            return node;
        }
        node.attributes = attributes_of(op, entry, {"name", "op", "layer", "inputs"});
        const json& inputs = json_reader::member(entry, "inputs", op.name);
        check(inputs.is_array(), "'inputs': expected a list");
        bool typed = false;
        for (const json& input : inputs) {
            const int from = input.is_null() ? -1 : find(json_reader::text(input, "'inputs'"));
            node.inputs.push_back(from);
            if (from < 0) continue;
            node.activation |= graph_[from].activation;
            if (!typed) node.dtype = graph_[from].dtype;
            typed = typed || is_float(node.dtype);
        }
        op.check_call(node.attributes, node.inputs.size());
        for (size_t k = 0; k < node.inputs.size() && k < 2; ++k)
            check(node.inputs[k] >= 0 || static_cast<int>(k) >= op.min_inputs || op.min_inputs > 2, "input ", k,
                  " is absent");
        check(node.inputs.empty() || node.inputs[0] >= 0, "input 0 is absent");
        node.shape = op.shape(node.attributes, graph_.input_shapes(node));
        return node;
    }

    Graph graph_;
    std::map<std::string, int> index_;
};

}  // namespace

std::string to_json(const Graph& graph) {
    const std::vector<std::string> names = graph.names();
    const auto name_of_node = [&](int index) { return names[static_cast<size_t>(index)]; };
    ordered_json nodes = ordered_json::array();
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& node = graph[i];
        ordered_json entry{{"name", name_of_node(i)}, {"op", node.op.name()}};
        if (node.path != name_of_node(i)) entry["layer"] = node.path;
        if (node.is_op()) {
            ordered_json inputs = ordered_json::array();
            for (int from : node.inputs) inputs.push_back(from < 0 ? ordered_json() : ordered_json(name_of_node(from)));
            entry["inputs"] = inputs;
        } else {
            entry["shape"] = std::vector<int64_t>(node.shape.begin(), node.shape.end());
            if (node.dtype != DType::f32) entry["dtype"] = name_of(node.dtype);
        }
        add_attributes(entry, node.attributes);
        nodes.push_back(std::move(entry));
    }
    ordered_json inputs = ordered_json::array();
    for (int input : graph.inputs) inputs.push_back(name_of_node(input));
    const ordered_json file{{"inputs", inputs}, {"output", name_of_node(graph.output)}, {"nodes", nodes}};
    return text_of(file);
}

Graph graph_from_json(const std::string& text) { return Reader().read(parse_json(text, "graph")); }

Attributes attributes_from_json(const OpInfo& op, const std::string& text, const std::vector<std::string>& others) {
    return attributes_of(op, parse_json(text, op.name), others);
}

}  // namespace lathe::nn
