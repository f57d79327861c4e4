#include "lathe/compress/integer/program_file.h"

#include "lathe/nn/files/encode.h"
#include "lathe/nn/files/graph_json.h"
#include "lathe/nn/files/json.inc"

namespace lathe::compress {

namespace {

using nn::json_reader::json;
using nn::json_reader::member;

constexpr const char* kVersion = "4";

json json_of(const Grid8& grid) { return {{"scale", grid.scale}, {"zero", grid.zero}, {"high", grid.high}}; }

Grid8 grid_of(const json& grids, const char* name) {
    const json& grid = member(grids, name, "lathe.grids");
    const auto integer = [&](const char* of) {
        const int64_t value = nn::json_reader::integer(member(grid, of, "lathe.grids"), "lathe.grids");
        check(value >= 0 && value <= 255, "lathe.grids: expected '", of, "' from 0 to 255, got ", value);
        return static_cast<int>(value);
    };
    return {.scale = static_cast<float>(nn::json_reader::real(member(grid, "scale", "lathe.grids"), "lathe.grids")),
            .zero = integer("zero"), .high = integer("high")};
}

IntegerGraph read_net(const TensorFile& file) {
    const json grids = parse_json(nn::metadata_entry(file.metadata, "lathe.grids"), "lathe.grids");
    IntegerGraph net{.graph = nn::graph_from_json(nn::metadata_entry(file.metadata, "lathe.graph")),
                     .input = grid_of(grids, "input"), .output = grid_of(grids, "output"),
                     .ending = nn::json_reader::text(member(grids, "ending", "lathe.grids"), "lathe.grids")};
    const std::vector<std::string> names = net.graph.names();
    size_t used = 0;
    for (int i = 0; i < net.graph.size(); ++i) {
        GraphNode& node = net.graph[i];
        const std::string& name = names[static_cast<size_t>(i)];
        if (node.is_op()) node.dtype = DType::u8;
        if (node.is_op() || node.op == "input") continue;
        const auto stored = file.tensors.find(name);
        check(stored != file.tensors.end(), "'", name, "' is missing");
        const Tensor& value = stored->second;
        check(value.dtype() == node.dtype && value.shape() == node.shape, "'", name, "': expected ",
              name_of(node.dtype), " ", node.shape, ", got ", name_of(value.dtype()), " ", value.shape());
        node.value = value;
        ++used;
    }
    check(used == file.tensors.size(), "expected ", used, " tensors, got ", file.tensors.size());
    return net;
}

// The network that the description tells of is this one.
void check_shapes(const IntegerGraph& net, const nn::Description& about) {
    Shape input{1};
    for (int64_t extent : about.options.input) input.push_back(extent);
    const Shape& output = net.graph[net.graph.output].shape;
    check(net.graph[net.graph.input()].shape == input, "lathe.graph: expected an input ", input, ", got ",
          net.graph[net.graph.input()].shape);
    check(about.options.classes == 0 || output == Shape{1, about.options.classes}, "lathe.graph: expected an output ",
          Shape{1, about.options.classes}, ", got ", output);
}

}  // namespace

TensorFile to_file(const IntegerProgram& program) {
    const IntegerGraph& net = program.net();
    TensorFile file;
    nn::write_description(program.about(), file.metadata);
    file.metadata["lathe.program"] = kVersion;
    file.metadata["lathe.graph"] = nn::to_json(net.graph);
    file.metadata["lathe.grids"] =
        text_of(json{{"input", json_of(net.input)}, {"output", json_of(net.output)}, {"ending", net.ending}});
    const std::vector<std::string> names = net.graph.names();
    for (int i = 0; i < net.graph.size(); ++i)
        if (net.graph[i].value) file.tensors[names[static_cast<size_t>(i)]] = net.graph[i].value;
    nn::encode_zeros(file);
    return file;
}

std::shared_ptr<const IntegerProgram> program_from_file(const TensorFile& file, const std::string& name) {
    std::shared_ptr<const IntegerProgram> program;
    nn::reading_file(name, [&] {
        check(is_program(file), "expected an integer program, got a file without 'lathe.program'");
        const std::string& version = file.metadata.at("lathe.program");
        check(version == kVersion, "expected an integer program of version ", kVersion, ", got '", version, "'");
        nn::Description about = nn::read_description(file.metadata);
        IntegerGraph net = read_net(nn::with_zeros(file));
        check_shapes(net, about);
        program = std::make_shared<const IntegerProgram>(std::move(net), std::move(about));
    });
    return program;
}

void save(const IntegerProgram& program, const std::string& path) { write_safetensors(path, to_file(program)); }

std::shared_ptr<const IntegerProgram> load_program(const std::string& path) {
    return program_from_file(read_safetensors(path), path);
}

}  // namespace lathe::compress
