#pragma once
#include "lathe/core/tensor.h"

// The numbers that the course's quantization lab checks a student's functions with.
namespace lathe::tools::lab2 {

// To share 4 values among.
inline Tensor weights() {
    return Tensor::of<float>({5, 5}, {-.3747f, .0874f,  .3200f,  -.4868f, .4404f,  -.0402f, .2322f,  -.2024f, -.4986f,
                                      .1814f,  .3102f,  -.3942f, -.2030f, .0883f,  -.4741f, -.1592f, -.0777f, -.3946f,
                                      -.2128f, .2675f,  .0611f,  -.1933f, -.4350f, .2928f,  -.1087f});
}

// To put on a grid of 2 bits.
inline Tensor activations() {
    return Tensor::of<float>({5, 5}, {.0523f,  .6364f, -.0968f, -.0020f, .1940f,  .7500f, .5507f,  .6188f, -.1734f,
                                      .4677f,  -.0669f, .3836f, .4297f,  .6267f,  -.0695f, .1536f, -.0038f, .6075f,
                                      .6817f,  .0601f,  .6446f, -.2500f, .5376f,  -.2226f, .2333f});
}

// A layer of 8 inputs and outputs, and 4 examples.
inline Tensor layer_input() {
    return Tensor::of<float>({4, 8}, {.6118f, .7288f, .8511f, .2849f, .8427f, .7435f, .4014f, .2794f,
                                      .3676f, .2426f, .1612f, .7684f, .6038f, .0400f, .2240f, .4237f,
                                      .6565f, .6878f, .4670f, .3470f, .2281f, .8074f, .0178f, .3999f,
                                      .1863f, .3567f, .6104f, .0497f, .0577f, .2990f, .6687f, .8626f});
}

inline Tensor layer_weight() {
    return Tensor::of<float>(
        {8, 8}, {.12626f,   -.14752f,  .081910f, .24982f,  -.10495f, -.19227f, -.18550f,  -.15700f,
                 .27624f,   -.43835f,  .051010f, -.12020f, -.20344f, .10202f,  -.20799f,  .24112f,
                 -.38216f,  -.28047f,  .085238f, -.42504f, -.20952f, .32018f,  -.33619f,  .20219f,
                 .089233f,  -.10124f,  .11467f,  .20091f,  .11438f,  -.42427f, .10178f,   -.00030941f,
                 -.018837f, -.21256f,  -.45285f, .20949f,  -.38684f, -.17100f, -.45331f,  -.20433f,
                 -.20038f,  -.053757f, .18997f,  -.36866f, .055484f, .15643f,  -.23538f,  .21103f,
                 -.26875f,  .24984f,   -.23514f, .25527f,  .20322f,  .37675f,  .061563f,  .17201f,
                 .33541f,   -.33555f,  -.43349f, .43043f,  -.20498f, -.18366f, -.091553f, -.41168f});
}

inline Tensor layer_bias() {
    return Tensor::of<float>({8}, {.1954f, -.2756f, .3113f, .1149f, .4274f, .2429f, -.1721f, -.2502f});
}

}  // namespace lathe::tools::lab2
