#pragma once
// Everything that a program which links Lathe needs.
#include "lathe/core/gradcheck.h"
#include "lathe/core/graph.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/data/open.h"
#include "lathe/data/transforms.h"
#include "lathe/nn/serialize.h"
#include "lathe/nn/zoo.h"
#include "lathe/optim/trainer.h"
