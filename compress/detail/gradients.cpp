#include "lathe/compress/detail/gradients.h"

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/data/loader.h"

namespace lathe::compress {

void detail::for_each_gradient(nn::Module& module, const data::Dataset& data, int64_t images, uint64_t seed,
                               const std::function<void(int64_t batches)>& use) {
    const nn::ModeScope mode(module, false);
    data::Loader loader(data.sample(images, seed), {.batch = 64, .seed = seed});
    loader.start(0);
    for (data::Batch batch; loader.next(batch);) {
        module.zero_grad();
        backward(ops::cross_entropy(module(batch.input()), batch.target()));
        use(loader.batches());
    }
    module.zero_grad();
}

}  // namespace lathe::compress
