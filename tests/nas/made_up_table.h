#pragma once
#include <cmath>

#include "lathe/core/text.h"
#include "lathe/nas/predict/accuracy_table.h"
#include "lathe/nas/predict/efficiency.h"

namespace lathe::testing {

// Subnets of mcunetv2, none of the greatest width, with accuracies that grow with what they compute.
inline nas::AccuracyTable made_up_table(int64_t rows, uint64_t seed = 1) {
    nas::Space space = nas::mcunetv2();
    space.choices.wid = {0, 1};
    Random random(seed);
    nas::AccuracyTable table;
    for (int64_t i = 0; i < rows; ++i) {
        const nas::Arch arch = space.sample(random);
        const auto macs = static_cast<double>(nas::efficiency(space, arch).lab_macs);
        table.push_back({arch, 0.8 + 0.02 * std::log2(macs / 8e6) + 0.002 * random.normal()});
    }
    return table;
}

// As the course's files hold it.
inline std::string json_of(const nas::AccuracyTable& table) {
    TextStream text;
    for (const auto& [arch, accuracy] : table)
        text << (text.view().empty() ? "[[" : ",\n[") << arch.str() << "," << 100 * accuracy << "]";
    return text.str() + "]\n";
}

}  // namespace lathe::testing
