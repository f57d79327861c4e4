"""Writes a network of torch_nets.py as ONNX:  export_onnx.py infer|int8 NET BATCH FILE

Batch norm is folded into the convolutions. int8: QuantizeLinear and DequantizeLinear around every layer, weights i8
with a scale a channel, activations u8, biases i32, which onnxruntime makes QLinearConv, QLinearAdd, QGemm and the like.
"""
import sys
import warnings

import torch

from torch_nets import NETS, input_shape

warnings.filterwarnings("ignore")
mode, net, batch, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
torch.manual_seed(0)
if mode == "int8":
    from torch_quantized import quantized
    model = quantized(net)
else:
    model = NETS[net]().eval()
torch.onnx.export(model, torch.randn(input_shape(net, batch)), path, input_names=["x"], output_names=["y"],
                  training=torch.onnx.TrainingMode.EVAL, do_constant_folding=True, opset_version=17)
