"""The networks of Lathe's zoo that are measured and compared, in PyTorch; their weights have Lathe's names."""
import torch.nn as nn
import torch.nn.functional as F


def mean_of_map(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


class Vgg(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, channels, index = nn.Sequential(), 3, 0
        for width in [64, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]:
            if width == "M":
                self.backbone.add_module(f"pool{index}", nn.MaxPool2d(2))
                continue
            self.backbone.add_module(f"conv{index}", nn.Conv2d(channels, width, 3, padding=1, bias=False))
            self.backbone.add_module(f"bn{index}", nn.BatchNorm2d(width))
            self.backbone.add_module(f"relu{index}", nn.ReLU(True))
            channels, index = width, index + 1
        self.classifier = nn.Linear(512, 10)

    def forward(self, x):
        return self.classifier(mean_of_map(self.backbone(x)))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, projection=False):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=projection)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=projection)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.more = outputs - inputs
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride) if projection and self.more else None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), True)
        y = self.bn2(self.conv2(y))
        if self.downsample:
            x = self.downsample(x)
        elif self.more:  # option A: every other pixel, zero channels on both sides
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(y + x, True)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        stage = lambda inputs, outputs, stride: nn.Sequential(
            BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1), BasicBlock(outputs, outputs, 1))
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), True)
        return self.fc(mean_of_map(self.layer3(self.layer2(self.layer1(x)))))


class ResNet8(nn.Module):
    """Padded on both sides, as MobileNetV1 below: Keras pads a map of even size after its end only where the stride is
    2, at the same shapes and cost."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.layer1, self.layer2 = BasicBlock(16, 16, 1, projection=True), BasicBlock(16, 32, 2, projection=True)
        self.layer3, self.fc = BasicBlock(32, 64, 2, projection=True), nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), True)
        return self.fc(mean_of_map(self.layer3(self.layer2(self.layer1(x)))))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden, layers = inputs * expand, []
        if expand != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(True)]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden),
                   nn.ReLU6(True), nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


def mobilenetv2():
    layers, channels = [nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(True)], 32
    for expand, width, count, stride in [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                         (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(count):
            layers.append(InvertedResidual(channels, width, stride if i == 0 else 1, expand))
            channels = width
    layers += [nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(True), nn.AdaptiveAvgPool2d(1),
               nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 10)]
    return nn.Sequential(*layers)


def mobilenetv1_025():
    layers, channels = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True)], 8
    for width, stride in zip([16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256],
                             [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]):
        layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels), nn.BatchNorm2d(channels),
                   nn.ReLU(True), nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(True)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 2))


def lenet5():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def tape():
    """Ten ops on 1x8 tensors: what is measured is everything but arithmetic."""
    return nn.Sequential(*[layer for _ in range(5) for layer in (nn.Linear(8, 8), nn.ReLU())])


NETS = {"vgg-cifar": Vgg, "resnet20": ResNet20, "resnet8": ResNet8, "mobilenetv2": mobilenetv2,
        "mobilenetv1-025": mobilenetv1_025, "lenet5": lenet5, "mlp": mlp, "tape": tape}
SHAPES = {"mobilenetv1-025": (3, 96, 96), "lenet5": (1, 28, 28), "mlp": (1, 28, 28), "tape": (8,)}


def input_shape(net, batch):
    return (batch, *SHAPES.get(net, (3, 32, 32)))
