"""The networks of torch_nets.py in int8: post-training quantization in FX graph mode."""
import torch
import torch.nn as nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from torch_nets import NETS, input_shape

ENGINE = next(e for e in ("x86", "onednn", "fbgemm", "qnnpack") if e in torch.backends.quantized.supported_engines)
torch.backends.quantized.engine = ENGINE


def quantized(net):
    """Calibrated on four random images: signed weights with a scale a channel, unsigned activations."""
    model = NETS[net]()
    for module in list(model.modules()):  # as torchvision does; a ReLU6 is not fused and would run in float
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.ReLU(True))
    x = torch.randn(input_shape(net, 4))
    prepared = prepare_fx(model.eval(), get_default_qconfig_mapping(ENGINE), (x,))
    with torch.no_grad():
        prepared(x)
    return convert_fx(prepared)
