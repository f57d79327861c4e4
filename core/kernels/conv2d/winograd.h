#pragma once
#include "lathe/core/kernels/conv2d/shape.h"

// Convolution by Winograd's F(4x4, 3x3) (Lavin & Gray 2015, arXiv 1509.09308): tiles of 4x4 results become 36
// independent matrix products [tiles, C] x [C, K], a quarter of the multiplications of the plain definition. Rounding
// errors grow by about ten times over the plain sum (tests/core/kernels/conv2d/conv2d_test.cpp holds the bound).
//
// The idea on a line, F(2, 3): two results of three taps g from four pixels d,
//     y0 = d0 g0 + d1 g1 + d2 g2        y1 = d1 g0 + d2 g1 + d3 g2,
// are six products. A correlation is a product of polynomials read backwards, and a product of polynomials is known by
// its values at enough points; at 0, 1, -1 and infinity the values are four products:
//     m0 = (d0 - d2) g0                 m1 = (d1 + d2) (g0 + g1 + g2) / 2
//     m3 = (d1 - d3) g2                 m2 = (d2 - d1) (g0 - g1 + g2) / 2
//     y0 = m0 + m1 + m2                 y1 = m1 - m2 - m3
// For d = (1, 2, 3, 4) and g = (1, 10, 100): m = (-2, 277.5, 45.5, -200), y0 = 321 = 1 + 20 + 300 and
// y1 = 432 = 2 + 30 + 400. In matrices, with * from element to element, y = A^T [(G g) * (B^T d)]:
//           1  0 -1  0            1    0    0
//     B^T = 0  1  1  0      G = 1/2  1/2  1/2      A^T = 1  1  1  0
//           0 -1  1  0          1/2 -1/2  1/2            0  1 -1 -1
//           0  1  0 -1            0    0    1
// G g is made once for all pixels, and B^T d and A^T m only add.
//
// On a square both axes are transformed: y = A^T [(G g G^T) * (B^T d B)] A. F(4x4, 3x3) takes the points 0, 1, -1, 2,
// -2 and infinity: 16 results of 6x6 pixels from 36 products, where the definition has 144:
//           4  0 -5  0  1  0            1/4     0    0
//           0 -4 -4  1  1  0           -1/6  -1/6 -1/6             1  1  1  1  1  0
//     B^T = 0  4 -4 -1  1  0      G =  -1/6   1/6 -1/6      A^T =  0  1 -1  2 -2  0
//           0 -2 -1  2  1  0           1/24  1/12  1/6             0  1  1  4  4  0
//           0  2 -1 -2  1  0           1/24 -1/12  1/6             0  1 -1  8 -8  1
//           0  4  0 -5  0  1              0     0    1
// The element-wise products of all tiles, summed over the input channels, are for each of the 36 points one matrix
// product:
//     M [tiles, K] = V [tiles, C] U [C, K]      with V = B^T d B of each tile, U = G g G^T of each pair of channels.
//
// Backward: dx is the same convolution of dy with the filters turned by 180 degrees. For dg, <dy, A^T M A> is
// <A dy A^T, M>, so each point has dU [C, K] = V^T (A dy A^T), and from U = G g G^T follows dg = G^T dU G.
namespace lathe::kernels::winograd {

// Whether the shape gains: 3x3, stride 1, enough channels, and maps that 4x4 tiles cover without much waste. Where it
// says no the functions below must not be called.
bool suits(const Conv2dShape& shape, Conv2dPass pass);

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
void backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);

}  // namespace lathe::kernels::winograd
