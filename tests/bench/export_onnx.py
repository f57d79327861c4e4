"""Writes a network of torch_nets.py as ONNX, batch norm folded into the convolutions:  export_onnx.py NET BATCH FILE"""
import sys
import warnings

import torch

from torch_nets import NETS, input_shape

warnings.filterwarnings("ignore")
net, batch, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
torch.onnx.export(NETS[net]().eval(), torch.randn(input_shape(net, batch)), path, input_names=["x"], output_names=["y"],
                  training=torch.onnx.TrainingMode.EVAL, do_constant_folding=True, opset_version=13)
