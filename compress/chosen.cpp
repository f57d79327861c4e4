#include "lathe/compress/chosen.h"

#include <set>

namespace lathe::compress {

NamedParameters chosen_weights(nn::Module& module, const std::vector<std::string>& only,
                               const std::vector<std::string>& skip) {
    const auto matching = [&](const std::vector<std::string>& patterns) {
        std::set<nn::Parameter*> found;
        for (const std::string& pattern : patterns)
            for (const auto& [name, parameter] : module.named_parameters(pattern)) found.insert(parameter);
        return found;
    };
    const std::set<nn::Parameter*> wanted = matching(only), skipped = matching(skip);
    NamedParameters found = module.named_parameters();
    std::erase_if(found, [&](const auto& item) {
        const auto& [name, parameter] = item;
        return parameter->owned() || skipped.count(parameter) ||
               (only.empty() ? parameter->value().rank() < 2 : !wanted.count(parameter));
    });
    return found;
}

}  // namespace lathe::compress
