#include "lathe/core/tape/accumulate.h"

#include <utility>

#include "lathe/core/parallel.h"

namespace lathe {

void accumulate(Tensor& total, Tensor part) {
    check(total.shape() == part.shape() && total.dtype() == part.dtype(), "accumulate: expected ",
          name_of(total.dtype()), " ", total.shape(), ", got ", name_of(part.dtype()), " ", part.shape());
    if (!total.unique()) {
        if (part.unique()) std::swap(total, part);
        else total = total.clone();
    }
    with_float(total, [&](auto zero) {
        using T = decltype(zero);
        T* sum = total.mutable_data<T>();
        const T* more = part.data<T>();
        parallel_for(total.numel(), 1 << 16, [=](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) sum[i] += more[i];
        });
    });
}

}  // namespace lathe
