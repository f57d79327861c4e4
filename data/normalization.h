#pragma once
#include <string>
#include <vector>

#include "lathe/core/tensor.h"
#include "lathe/data/image.h"

namespace lathe::data {

// What pixels become: (pixel / 255 - mean) / std, in each channel. An empty mean stands for 0, an empty std for 1; one
// value serves all channels.
struct Normalization {
    std::vector<float> mean, std;

    // Error: not as many values as channels (or one), a value that is not finite, a std that is not positive.
    void check_channels(int64_t channels) const;
    // The same with a value for each channel, or none at all for pixels that are used as they are. Error: as above.
    Normalization for_channels(int64_t channels) const;
    // What every pixel value becomes, [256, channels]: made once for many images.
    std::vector<float> table(int64_t channels) const;

    std::string mean_text() const;  // "0.4914,0.4822,0.4465", or "none" when empty
    std::string std_text() const;
    bool operator==(const Normalization&) const = default;
};

// From "a,b,c" or "none" each. Error: not numbers.
Normalization parse_normalization(const std::string& mean, const std::string& std);

// Writes the image's pixels to out [height, width, channels], each as the table has it.
void normalize(const Image& image, const std::vector<float>& table, float* out);

// One image as a batch: [1, height, width, channels].
Tensor to_tensor(const Image& image, const Normalization& normalization);

}  // namespace lathe::data
