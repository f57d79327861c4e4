#pragma once
#include <string>

#include "lathe/compress/budget/sensitivity.h"

namespace lathe::tools {

// Draws a picture with gnuplot, where that is installed: writes `commands` to PATH.gnuplot below terminal and output
// lines for the file PATH.svg and runs gnuplot on it. The commands stay, to be changed and run again. False when there
// is no gnuplot. Error: gnuplot refuses the commands, or a file cannot be written.
bool plot_svg(const std::string& path, const std::string& commands, int width = 900, int height = 540);

// A text within quotation marks for gnuplot's commands; characters that it would interpret are escaped.
std::string plot_quoted(const std::string& text);

// Accuracy over sparsity, or over bits where nothing is pruned, a curve for each layer and width, with the dense
// model's and the course lab's line of 1.5 times its errors.
std::string sensitivity_curves(const compress::Sensitivity& scan);

}  // namespace lathe::tools
