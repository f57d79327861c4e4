#pragma once
#include <memory>
#include <string>

#include "lathe/core/files/safetensors.h"
#include "lathe/nn/model.h"

namespace lathe::nn {

// One safetensors file is a whole model. Its tensors are Module::state(), in PyTorch's names and order; its metadata
//   lathe.version       "2"
//   lathe.architecture  the network's name
//   lathe.graph         what it does, as JSON (nn/files/graph_json.h): no source is needed to load it
//   lathe.options       ModelOptions, as JSON
//   lathe.class_names   JSON list
//   lathe.scaling       InputScaling, as JSON
//   lathe.transforms    lists of weight transforms by parameter, as JSON: kind and settings
//   lathe.encoded       how weights are encoded (nn/files/encode.h)
// and Model::metadata. Tensors named "optim.…" are a trainer's own and are passed over.

// Encoded, weights take the room of what their transforms leave of them: masked ones cannot grow back. With `huffman`,
// indices of codebooks and of what masks keep are Huffman coded besides (Han et al. 2015, arXiv 1510.00149, section 4);
// a path "NAME.safetensors.gz" then packs what is left, the description.
// Error: as write_safetensors, or the model has a scaling, class names, metadata or an output that load would
// refuse.
enum class Weights { dense, encoded, huffman };
void save(Model& model, const std::string& path, Weights weights = Weights::dense);
// Error: as read_safetensors, or the file is not a model: no or another version, a graph that does not
// hold, tensors missing, left over or of another shape or type, weights that are not finite. One line that names the
// file.
std::unique_ptr<Model> load(const std::string& path);

// The same without the disk; `name` stands for the file in errors.
TensorFile to_file(Model& model, Weights weights = Weights::dense);
std::unique_ptr<Model> from_file(const TensorFile& file, const std::string& name);

// Sets parameters, buffers and weight transforms of a module that is there: from a saved model, or from the file of a
// PyTorch state_dict with the same names, as nn/files/pytorch.h reads them.
// Transforms that the file does not have are removed. Error: as load; without a name the caller's PathScope says where.
void load_weights(Module& module, const std::string& path);
void load_weights(Module& module, const TensorFile& file, const std::string& name);

}  // namespace lathe::nn
