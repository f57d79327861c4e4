#include "command.h"

#include <map>
#include <regex>

#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/description.h"

using testing::Folder;
using testing::check_fails;
using testing::write_bmp;
namespace fs = testing::fs;

namespace {

// A command line that must not work: what it is, its exit code, and words of the one line that it says. TRAIN, PRUNE,
// SCAN, EVAL, PROFILE, COMPARE, PREDICT, TUNE, LEARN, SEARCH and SUPER (of nas) stand for a good line of the command,
// SAMPLE and TAKE for one that only lacks a supernet, OUT for a folder that is not there, MODEL and IMAGE for good
// files, TEXT for a file that is none, SET for a folder of images, BARE for one whose val/ has none, FLAT for a good
// file of a network of features that are no image, NONE for a path where nothing is.
struct Row {
    std::string line;
    int code;
    std::string words;
};

const std::vector<Row> kRows = {
    // The command.
    {"", 2, "A subcommand is required"},
    {"trian", 2, "unknown command 'trian'; did you mean 'train'?"},
    {"''", 2, "unknown command ''"},
    {"--version", 2, "A subcommand is required"},
    {"info extra", 2, "extra"},
    {"info --json", 2, "--json"},
    {"train", 2, "--out is required"},
    {"TRAIN --frobnicate 3", 2, "--frobnicate"},
    {"TRAIN stray", 2, "stray"},
    {"TRAIN --epoch 3", 2, "--epoch"},
    {"TRAIN --epochs", 2, "--epochs"},
    {"TRAIN --epochs 2 --epochs 3", 2, "--epochs"},
    {"train --model lenet5 --data shapes --out ''", 2, "--out: expected a word, got an empty one"},
    {"TRAIN --force --resume", 2, "--force"},
    {"train train --out OUT", 2, "train"},
    {"TRAIN --data shapes", 2, "--data: At Most 1 required but received 2"},
    // Numbers; those of a wrong form are tried on every option below.
    {"TRAIN --epochs 0", 2, "--epochs: expected a number above 0, got 0"},
    {"TRAIN --epochs -3", 2, "--epochs: expected a number above 0, got -3"},
    {"TRAIN --epochs 2.5", 2, "--epochs: expected a whole number up to 1000000000000, got 2.5"},
    {"TRAIN --epochs 9223372036854775807", 2, "--epochs: expected a whole number up to 1000000000000"},
    {"TRAIN --batch 9223372036854775807", 2, "--batch: expected a whole number up to"},
    {"TRAIN --batch 0", 2, "--batch"},
    {"TRAIN --limit -1", 2, "--limit"},
    {"TRAIN --seed -1", 2, "--seed: expected a whole number from 0 to 2^64-1, got -1"},
    {"TRAIN --seed 18446744073709551616", 2, "--seed: expected a whole number from 0 to 2^64-1"},
    {"TRAIN --dropout -0.5", 2, "--dropout: expected -1 or a number in [0, 1), got -0.5"},
    {"TRAIN --dropout 1", 2, "--dropout: expected -1 or a number in [0, 1), got 1"},
    {"TRAIN --weight-decay -7", 2, "--weight-decay: expected -1 or a number of 0 or more, got -7"},
    {"TRAIN --lr -1", 2, "--lr: expected a number of 0 or more, got -1"},
    {"TRAIN --lr 1e-400", 2, "--lr: expected a number, got 1e-400"},
    {"TRAIN --lr 0,1", 2, "--lr"},
    {"TRAIN --momentum 1.5", 2, "--momentum"},
    {"TRAIN --momentum 1", 1, "momentum in [0, 1), got 1"},
    {"TRAIN --label-smoothing 2", 2, "--label-smoothing"},
    {"TRAIN --clip -1", 2, "--clip"},
    {"TRAIN --ema 1", 1, "ema: expected a decay in [0, 1), got 1"},
    {"TRAIN --patience -1", 2, "--patience"},
    {"TRAIN --norm-sparsity -1", 2, "--norm-sparsity"},
    {"TRAIN --width 0", 2, "--width"},
    {"TRAIN --width 1e9", 1, "width multiplier"},
    {"TRAIN --widths 1,2", 1, "expected 4 widths, got 2"},
    {"TRAIN --widths 1,x,3,4", 2, "--widths"},
    {"TRAIN --workers -1", 2, "--workers"},
    {"TRAIN --workers 257", 2, "--workers"},
    {"TRAIN --threads 5000", 2, "--threads"},
    {"TRAIN --nesterov=maybe", 2, "--nesterov: expected true or false, got maybe"},
    {"TRAIN --nesterov=2", 2, "--nesterov: expected true or false, got 2"},
    {"TRAIN --epochs 1e3", 2, "--epochs: expected a whole number up to 1000000000000, got 1e3"},
    {"TRAIN --epochs 0x10", 2, "--epochs: expected a whole number"},
    {"TRAIN --seed 1.5", 2, "--seed: expected a whole number"},
    {"TRAIN --validation 0.95", 2, "--validation"},
    {"TRAIN --validation -0.1", 2, "--validation"},
    {"TRAIN --widths 0,1,2,3", 1, "expected widths from 1 to 65536, got 0"},
    {"TRAIN --widths 6,16,120,84 --width 2", 1, "a width multiplier or a list of widths, got both"},
    {"TRAIN --momentum 0 --nesterov", 1, "momentum above 0"},
    {"TRAIN --optimizer adam --nesterov", 1, "--nesterov is for sgd, got --optimizer adam"},
    {"TRAIN --recompute-activations=3", 2, "expected true or false, got 3"},
    // Words.
    {"TRAIN --optimizer sdg", 2, "sdg"},
    {"TRAIN --optimizer SGD", 2, "SGD"},
    {"TRAIN --init ''", 2, "--init: expected a word"},
    {"TRAIN --augment ''", 2, "--augment: expected a word"},
    {"TRAIN --augment crop:x", 1, "crop"},
    {"TRAIN --augment spin", 1, "spin"},
    {"TRAIN --mean nan", 1, "mean: expected finite numbers"},
    {"TRAIN --mean 1,2", 1, "mean"},
    {"TRAIN --std 0", 1, "std: expected positive numbers"},
    {"train --model lenet5 --data shapes --input 28x28x1 --out OUT", 1,
     "expected images that can be scaled to [28, 28, 1], got [32, 32, 3]"},
    {"TRAIN --input 0x0x3", 1, "--input"},
    {"TRAIN --input 32x32", 1, "--input"},
    {"TRAIN --input 48x32x1", 1, "square"},
    {"TRAIN --input 32x32x3x", 1, "--input"},
    {"TRAIN --freeze fc9", 1, "fc9"},
    {"TRAIN --input 65536x65536x3", 1, "expected a size from 1 to 8192, got 65536"},
    {"TRAIN --input 784", 1, "--input: expected HEIGHTxWIDTHxCHANNELS for images, got '784'"},
    {"TRAIN --input 8x8x2", 1, "expected 1 or 3 channels, got 2"},
    {"TRAIN --input 4x4x1", 1, "expected images of at least 12x12 pixels, got 4x4"},
    {"TRAIN --augment crop:1000000", 1, "expected a padding from 0 to 28, got 1000000"},
    {"TRAIN --augment flip,", 1, "got ''"},
    {"TRAIN --augment jitter:nan", 1, "expected a number after 'jitter:'"},
    {"TRAIN --augment resized-crop:2", 1, "expected a smallest area in (0, 1], got 2"},
    {"TRAIN --freeze '*'", 1, "--freeze * leaves nothing to train"},
    {"TRAIN --norm-sparsity 1e-4", 1, "expected a network with batch norms"},
    {"TRAIN --lr-schedule linear", 1, "linear"},
    {"TRAIN --lr-schedule multi-step:-5", 1, "rising epochs of 1 or more, got -5"},
    {"TRAIN --lr-schedule multi-step:5,3", 1, "rising epochs of 1 or more, got 3"},
    {"TRAIN --lr-schedule step:0", 1, "step"},
    {"TRAIN --lr-schedule step:30:nan", 1, "factor above 0"},
    {"TRAIN --lr-schedule cosine:2", 1, "floor"},
    {"TRAIN --lr-schedule cosine+warmup:-1", 1, "warm-up"},
    {"TRAIN --lr-schedule cosine+warmup:nan", 1, "warm-up"},
    {"TRAIN --lr-schedule cosine+restart:0", 1, "restart"},
    {"TRAIN --lr-schedule ''", 2, "--lr-schedule: expected a word"},
    {"TRAIN --lr-schedule constant:3", 1, "at most 0 numbers after constant, got 1"},
    {"TRAIN --lr-schedule cosine+cosine", 1, "'+warmup:EPOCHS'"},
    {"TRAIN --lr-schedule one-cycle:x", 1, "expected a number, got 'x'"},
    // What to train, and on what.
    {"train --data shapes --out OUT", 1, "--model or --init"},
    {"train --model lenet5 --out OUT", 1, "--data"},
    {"train --model lenet6 --data shapes --out OUT", 1, "did you mean 'lenet5'?"},
    {"train --model lenet5 --data shape --out OUT", 1, "did you mean 'shapes'?"},
    {"train --model lenet5 --data folder: --out OUT", 1, "expected the path of a folder or archive"},
    {"train --model lenet5 --data folder:NONE --out OUT", 1, "NONE: cannot be read"},
    {"train --model lenet5 --data folder:TEXT --out OUT", 1, "TEXT: truncated, or not a tar archive"},
    {"train --model lenet5 --data mnist --data-root NONE --out OUT", 1, "NONE"},
    {"train --init NONE --data shapes --out OUT", 1, "NONE"},
    {"train --init TEXT --data shapes --out OUT", 1, "TEXT"},
    {"train --model lenet5 --data mnist --data-root '' --out OUT", 2, "--data-root: expected a word"},
    {"train --model lenet5 --data cifar10 --data-root SET --out OUT", 1, "expected data_batch_1.bin"},
    {"train --model lenet5 --data folder:SET/train/a --out OUT", 1, "expected a folder of images for each class"},
    {"train --model lenet5 --data folder:SET/train --validation 0.001 --out OUT", 1, "a share of 0.001 held out"},
    {"train --model lenet5 --data folder:BARE --out OUT", 1, "class folder val/a holds no PNG, JPEG or BMP image"},
    {"train --model NONE.json --data shapes --out OUT", 1, "NONE.json: cannot open"},
    {"train --init FLAT --data folder:SET --out OUT", 1, "images, or the pixels of square ones, got [5]"},
    {"train --init SET --data shapes --out OUT", 1, "expected a file, got a folder"},
    {"train --init MODEL --model resnet8 --data folder:SET --out OUT", 1, "--model is resnet8"},
    {"train --init MODEL --width 2 --data folder:SET --out OUT", 1, "--width"},
    {"train --init MODEL --dropout 0.5 --data folder:SET --out OUT", 1, "--dropout"},
    {"train --model lenet5 --data folder:SET --out /proc/no/such/folder", 1,
     "/proc/no/such/folder: cannot make the folder"},
    {"train --model lenet5 --data folder:SET --out TEXT", 1, "TEXT"},
    {"train --resume --out OUT", 1, "config.json"},
    // prune
    {"prune --out OUT", 1, "--model and --data"},
    {"prune --model MODEL --data shapes", 2, "--out is required"},
    {"PRUNE", 1, "--sparsity"},
    {"PRUNE --sparsity 1", 1, "[0, 1), got 1"},
    {"PRUNE --sparsity -0.1", 1, "[0, 1), got -0.1"},
    {"PRUNE --layer conv1", 1, "NAME=SPARSITY"},
    {"PRUNE --layer conv1=", 1, "NAME=SPARSITY"},
    {"PRUNE --layer conv1=nan", 1, "nan"},
    {"PRUNE --layer conv9=0.5", 1, "did you mean 'conv1'?"},
    {"PRUNE --sparsity 0.5 --method magic", 2, "magic"},
    {"PRUNE --sparsity 0.5 --pattern 2:4", 1, "--pattern"},
    {"PRUNE --method nm --pattern 5:4", 1, "5:4"},
    {"PRUNE --method block --sparsity 0.5 --pattern 0x4", 1, "0x4"},
    {"PRUNE --sparsity 0.5 --importance tailor", 1, "taylor"},
    {"PRUNE --sparsity 0.5 --scope local", 2, "local"},
    {"PRUNE --target-size 1.5", 2, "--target-size"},
    {"PRUNE --target-size 0.5 --target-macs 0.5", 1, "one target"},
    {"PRUNE --target-size 0.5 --sparsity 0.5", 1, "target"},
    {"PRUNE --sparsity 0.5 --schedule gradual", 1, "--finetune"},
    {"PRUNE --sparsity 0.5 --schedule once", 2, "once"},
    {"PRUNE --sparsity 0.5 --lr-schedule cosine", 1, "--lr-schedule is for training; expected --finetune"},
    {"PRUNE --sparsity 0.5 --distill 0.5", 1, "--distill is for training; expected --finetune"},
    {"PRUNE --sparsity 0.5 --finetune -1", 2, "--finetune"},
    {"PRUNE --sparsity 0.5 --finetune 1 --distill 1.5", 2, "--distill"},
    {"PRUNE --sparsity 0.5 --finetune 1 --temperature 0", 2, "--temperature"},
    {"PRUNE --sparsity 0.5 --finetune 1 --lr-schedule linear", 1, "linear"},
    {"PRUNE --sparsity 0.5 --skip conv7", 1, "conv7"},
    {"PRUNE --sparsity 0.5 --rewind NONE", 1, "NONE"},
    {"PRUNE --method channel", 1, "--ratio"},
    {"PRUNE --method channel --ratio 1", 1, "[0, 1), got 1"},
    {"PRUNE --method channel --ratio 0.5 --round-to 0", 2, "--round-to"},
    {"PRUNE --method channel --layer fc3=0.5", 1, "it is the network's output"},
    {"PRUNE --sparsity 0.5 --ratio 0.5", 2, "At Most 1 required"},
    {"PRUNE --layer conv1=2", 1, "expected a sparsity in [0, 1) for 'conv1', got 2"},
    {"PRUNE --sparsity 0.5 --skip '*'", 1, "got none"},
    {"PRUNE --method nm --pattern 2:2", 1, "N below M"},
    {"PRUNE --method nm --sparsity 0.5", 1, "brings its sparsity along"},
    {"PRUNE --method nm --scope global", 1, "expected no --scope global"},
    {"PRUNE --method channel --ratio 0.5 --importance movement", 1, "movement"},
    {"PRUNE --method channel --ratio 0.5 --importance batch-norm", 1, "none can be cut: nothing in it has"},
    {"PRUNE --method channel --ratio 0.5 --max-ratio 0", 1, "(0, 1], got 0"},
    {"PRUNE --method channel --ratio 0.5 --pattern 2:4", 1, "--pattern is for single weights"},
    {"PRUNE --method channel --ratio 0.5 --prune-ties", 1, "--prune-ties is for single weights"},
    {"PRUNE --method channel --target-macs 0.5 --scan-images 10", 1, "--scan-images is for a target of single weights"},
    {"PRUNE --sparsity 0.5 --round-to 4", 1, "--round-to is for --method channel"},
    {"PRUNE --sparsity 0.5 --max-ratio 0.5", 1, "--max-ratio is for --method channel"},
    {"PRUNE --sparsity 0.5 --macs lab", 1, "--macs is for --method channel"},
    {"PRUNE --sparsity 0.5 --rounds 3", 1, "--rounds is for --schedule iterative"},
    {"PRUNE --sparsity 0.5 --begin 0.3", 1, "--begin is for --schedule gradual"},
    {"PRUNE --sparsity 0.5 --scan-images 10", 1, "--scan-images is for a target of single weights"},
    {"PRUNE --sparsity 0.5 --finetune 1 --temperature 2", 1, "--temperature is for distillation"},
    {"PRUNE --sparsity 0.5 --momentum 0.5", 1, "--momentum is for training; expected --finetune EPOCHS"},
    {"PRUNE --sparsity 0.5 --schedule iterative --finetune 1 --rounds 5", 1, "each of 5 rounds, got 1"},
    {"PRUNE --sparsity 0.5 --schedule gradual --finetune 1 --begin 0.5 --end 0.2", 1, "got 0.5 and 0.2"},
    {"PRUNE --target-size 0.5 --scan-images 100", 1, "holds all 40 training images out"},
    {"PRUNE --sparsity 0.5 --rewind SET", 1, "expected a file, got a folder"},
    {"PRUNE --sparsity 0.5 --validation 1", 2, "--validation"},
    {"prune --model MODEL --data folder:SET/train --validation 0.001 --sparsity 0.5 --out OUT", 1, "held out leaves"},
    {"prune --model FLAT --data folder:SET --sparsity 0.5 --out OUT", 1, "the pixels of square ones, got [5]"},
    {"prune --model MODEL --data folder:SET --sparsity 0.5 --out TEXT", 1, "TEXT: cannot make the folder"},
    {"prune --resume --out OUT", 1, "config.json"},
    {"prune --model NONE --data shapes --sparsity 0.5 --out OUT", 1, "NONE"},
    {"prune --model lenet5 --data shapes --sparsity 0.5 --out OUT", 1, "lenet5"},
    {"prune --model MODEL --data shapes --sparsity 0.5 --out OUT", 1,
     "expected images that can be scaled to [28, 28, 1]"},
    // quantize
    {"quantize --out OUT", 1, "quantize: expected --model and --data"},
    {"quantize --model MODEL --data shapes", 2, "--out is required"},
    {"QUANTIZE --bits 0", 2, "--bits"},
    {"QUANTIZE --bits 9", 2, "--bits"},
    {"QUANTIZE --bits 2.5", 2, "--bits"},
    {"QUANTIZE --layer-bits conv1", 1, "--layer-bits: expected NAME=BITS such as conv1=8, got 'conv1'"},
    {"QUANTIZE --layer-bits conv1=2.5", 1, "--layer-bits: expected a whole number of bits, got 'conv1=2.5'"},
    {"QUANTIZE --layer-bits conv1=9", 1, "quantize: expected 1 to 8 bits for 'conv1', got 9"},
    {"QUANTIZE --layer-bits conv7=4", 1, "no parameter matches 'conv7'"},
    {"QUANTIZE --skip '*'", 1, "expected parameters of two dimensions or more, got none"},
    {"QUANTIZE --method linnear", 2, "--method"},
    {"QUANTIZE --init exakt", 2, "--init"},
    {"QUANTIZE --gradient max", 2, "--gradient"},
    {"QUANTIZE --coding zip", 2, "--coding"},
    {"QUANTIZE --target-size 1.5", 2, "--target-size"},
    {"QUANTIZE --target-bops -1", 2, "--target-bops"},
    {"QUANTIZE --target-size 0.1 --target-latency 0.5", 1, "quantize: expected one target"},
    {"QUANTIZE --target-size 0.1 --bits 4", 1, "a target chooses the bits itself; expected no --bits beside it"},
    {"QUANTIZE --target-size 0.1 --layer-bits conv1=8", 1, "expected no --layer-bits beside it"},
    {"QUANTIZE --method linear --target-size 0.1 --weight-bits 4", 1, "expected no --weight-bits beside it"},
    {"QUANTIZE --method linear --target-size 0.1 --explain", 1, "expected no --explain beside it"},
    {"QUANTIZE --widths 2,4", 1, "--widths is for a target; expected --target-size, --target-bops or --target-latency"},
    {"QUANTIZE --sparsities 0.5", 1, "--sparsities is for a target"},
    {"QUANTIZE --scan-images 5", 1, "--scan-images is for a target"},
    {"QUANTIZE --target-bops 0.1", 1, "a codebook's values are multiplied as floats; expected --target-size or"},
    {"QUANTIZE --target-latency 0.5", 1, "a codebook's values are multiplied as floats; expected --target-size or"},
    {"QUANTIZE --method linear --target-latency 0.5 --sparsities 0,0.5", 1, "zeros take as long as other integers"},
    {"QUANTIZE --method linear --target-size 0.2 --widths 4,32", 1, "expected widths of 2 to 8 bits, got 32"},
    {"QUANTIZE --target-size 0.1 --widths 4,9", 1, "expected widths of 1 to 8 bits or 32, got 9"},
    {"QUANTIZE --method linear --target-size 0.1 --widths 1,4", 1, "expected widths of 2 to 8 bits, got 1"},
    {"QUANTIZE --target-size 0.1 --widths 4,x", 2, "--widths"},
    {"QUANTIZE --target-size 0.1 --sparsities 0,1", 1, "[0, 1), got 1"},
    {"QUANTIZE --target-size 0.1 --scan-images 100", 1, "--scan-images 100 holds all 40 training images out"},
    {"QUANTIZE --lr 0.1", 1, "quantize: --lr is for training; expected --finetune EPOCHS beside it"},
    {"quantize --model NONE --data shapes --out OUT", 1, "NONE"},
    // scan
    {"scan --data shapes", 2, "--model is required"},
    {"scan --model MODEL", 2, "--data is required"},
    {"SCAN --sparsities 1.5", 1, "[0, 1), got 1.5"},
    {"SCAN --sparsities 0.5,x", 2, "--sparsities"},
    {"SCAN --sparsities ''", 2, "--sparsities"},
    {"SCAN --images -1", 2, "--images"},
    {"SCAN --bits 0", 1, "scan: expected widths of 1 to 8 bits or 32, got 0"},
    {"SCAN --bits 4,9", 1, "got 9"},
    {"SCAN --bits 2.5", 2, "--bits"},
    {"SCAN --bits 1 --method linear", 1, "scan: expected widths of 2 to 8 bits, got 1"},
    {"SCAN --bits 4 --method magic", 2, "--method"},
    {"SCAN --method linear", 1, "--method is for --bits; expected --bits beside it"},
    {"SCAN --split dev", 2, "dev"},
    {"SCAN --pattern 3", 1, "3"},
    {"SCAN --importance size", 1, "size"},
    {"SCAN --skip conv7", 1, "conv7"},
    {"SCAN --out TEXT", 1, "TEXT: cannot make the folder"},
    {"scan --model TEXT --data shapes", 1, "TEXT"},
    {"SCAN --sparsities nan", 2, "--sparsities: expected a number, got nan"},
    {"SCAN --skip '*'", 1, "got none"},
    {"SCAN --seed -1", 2, "--seed"},
    {"SCAN --pattern 0:4", 1, "got '0:4'"},
    {"SCAN --importance batch-norm", 1, "batch-norm"},
    {"scan --model lenet5 --data shapes", 1, "lenet5: cannot open"},
    {"scan --model FLAT --data folder:SET", 1, "the pixels of square ones, got [5]"},
    // eval
    {"eval --model MODEL", 2, "--data is required"},
    {"eval --model NONE --data shapes", 1, "neither a file nor the name of a network"},
    {"eval --model TEXT --data shapes", 1, "TEXT"},
    {"eval --model lenet6 --data shapes", 1, "did you mean 'lenet5'?"},
    {"EVAL --weights NONE", 1, "NONE"},
    {"EVAL --classes 3", 1, "--classes"},
    {"EVAL --split training", 2, "training"},
    {"EVAL --batch 0", 2, "--batch"},
    {"EVAL --input 8x16x1", 1, "square"},
    {"eval --model MODEL --data shapes", 1, "expected images that can be scaled to [28, 28, 1]"},
    {"eval --model lenet5 --classes -1 --data shapes", 2, "--classes"},
    {"EVAL --input 28x28x3", 1, "expected an input like"},
    {"EVAL --mean 1,2", 1, "mean: expected 1 values"},
    {"EVAL --threads 4097", 2, "--threads"},
    {"EVAL --json=5", 2, "--json: expected true or false, got 5"},
    {"eval --data shapes", 2, "--model is required"},
    {"eval --model resnet20 --weights MODEL --data folder:SET", 1, "expected 'conv1.weight'"},
    {"eval --model FLAT --data folder:SET", 1, "the pixels of square ones, got [5]"},
    {"eval --model FLAT --data shapes", 1, "tells 2 classes apart, shapes test has 10"},
    // profile
    {"profile", 2, "--model is required"},
    {"PROFILE --input 4x4x3", 1, "4"},
    {"PROFILE --input 32x32", 1, "--input"},
    {"PROFILE --input 32", 1, "32"},
    {"PROFILE --runs 0", 2, "--runs"},
    {"PROFILE --batch 0", 2, "--batch"},
    {"PROFILE --widths 1", 1, "widths"},
    {"profile --model MODEL --width 2", 1, "--width"},
    {"profile --model MODEL --arch smallest", 1, "--arch are for a network by its name"},
    {"PROFILE --batch 1000000000000", 1, "memory: cannot allocate"},
    {"PROFILE --width 1e9", 1, "up to 64, got 1e+09"},
    {"PROFILE --classes 1000000000000", 1, "expected 1 to 65536 classes"},
    {"PROFILE --weights NONE", 1, "NONE: cannot open"},
    {"PROFILE --data shapes", 2, "--data"},
    {"profile --model FLAT --input 100", 1, "expected input [N, 5], got [1, 100]"},
    {"profile --model lenet", 1, "did you mean 'lenet5'?"},
    // compare
    {"compare", 2, "models is required"},
    {"COMPARE NONE", 1, "NONE"},
    {"COMPARE TEXT", 1, "TEXT"},
    {"COMPARE --runs 0", 2, "--runs"},
    {"COMPARE --data cifar11", 1, "cifar10"},
    {"COMPARE --data shapes", 1, "expected images that can be scaled to [28, 28, 1]"},
    {"COMPARE --skip-damaged", 2, "--skip-damaged requires --data"},
    {"COMPARE --figure NONE", 2, "--figure requires --data"},
    {"COMPARE --data folder:NONE", 1, "NONE: cannot be read"},
    {"COMPARE --model MODEL", 2, "--model"},
    {"COMPARE lenet5", 1, "lenet5: cannot open"},
    {"compare FLAT --data folder:SET", 1, "the pixels of square ones, got [5]"},
    // predict
    {"predict IMAGE", 2, "--model is required"},
    {"predict --model MODEL", 2, "images is required"},
    {"PREDICT NONE", 1, "NONE"},
    {"PREDICT TEXT", 1, "TEXT: expected a PNG, JPEG or BMP image"},
    {"PREDICT ''", 2, "expected a word"},
    {"PREDICT --top 0", 2, "--top"},
    {"predict --model lenet5 IMAGE", 1, "lenet5"},
    {"predict --model SET IMAGE", 1, "expected a file, got a folder"},
    {"PREDICT SET", 1, "expected a file, got a folder"},
    {"PREDICT --top 99999999999999999999", 2, "--top"},
    {"predict --model FLAT IMAGE", 1, "flat: expected inputs that are images, or the pixels of square ones, got [5]"},
    {"predict --model TEXT IMAGE", 1, "TEXT"},
    // tune
    {"TUNE --seconds 0", 2, "--seconds"},
    {"TUNE --threads -1", 2, "--threads"},
    {"TUNE extra", 2, "extra"},
    {"tune --out SET", 1, "SET: expected a file to keep the table in, got a folder"},
    // nas
    {"nas", 2, "A subcommand is required"},
    {"nas serch", 2, "unknown command 'nas serch'; did you mean 'search'?"},
    {"nas show", 2, "--arch is required"},
    {"nas show --arch '{\"width\":1}'", 1, "arch: unknown key 'width'"},
    {"nas show --arch small", 1, "arch: expected JSON"},
    {"nas show --arch smallest --space mcunet", 1, "did you mean 'mcunetv2'?"},
    {"profile --model mcunetv2 --arch smallest --input 112x112x3", 1, "expected images of [96, 96, 3]"},
    {"profile --model mcunetv2 --width 0.5", 1, "expected no width"},
    {"PROFILE --arch smallest", 1, "lenet5: expected no arch"},
    {"LEARN --hold-out 0", 1, "TEXT: expected a column 'resolution' in the first line"},
    {"LEARN --lr-schedule linear", 1, "linear"},
    {"nas predictor --table NONE.csv --out OUT", 1, "NONE.csv"},
    {"SEARCH", 1, "TEXT"},
    {"SEARCH --peak-memory 64kg", 1, "--peak-memory: expected an amount like 250KB, got 64kg"},
    {"SEARCH --macs 0", 1, "--macs: expected an amount like 60M, got 0"},
    {"SEARCH --method climb", 2, "climb"},
    {"SEARCH --method pareto --least time", 1, "unknown quantity 'time'"},
    {"nas measure", 2, "--out is required"},
    {"nas measure --space mcunet --out OUT", 1, "did you mean 'mcunetv2'?"},
    {"nas measure --image-size 97 --out OUT", 1, "--image-size: 97 is none of the sizes"},
    {"nas measure --check 1 --out OUT", 2, "--check"},
    {"nas show --arch smallest --latency-table NONE.json", 1, "NONE.json"},
    {"nas train --space ofa-resnet-cifer --data folder:SET --out OUT", 1, "did you mean 'ofa-resnet-cifar'?"},
    {"SUPER --strategy random", 2, "random"},
    {"SUPER --random -1", 2, "--random"},
    {"SUPER --ema 0.9", 1, "for one network, not for a supernet"},
    {"nas train --out OUT", 1, "expected --data"},
    {"SAMPLE", 1, "best.safetensors: expected a supernet of `lathe nas train`, got another file"},
    {"SAMPLE --subnets 0", 2, "--subnets"},
    {"TAKE --arch smallest", 1, "best.safetensors: expected a supernet of `lathe nas train`, got another file"},
    {"TAKE", 2, "--arch is required"},
    {"nas search --predictor MODEL", 1, "expected an accuracy predictor, got a model of lenet5"},
};

// One set of files for all rows.
struct Files {
    const Folder folder;
    std::map<std::string, std::string> words;

    Files() {
        words = {{"OUT", folder / "out"}, {"TEXT", folder / "text"},       {"NONE", folder / "none"},
                 {"SET", folder / "set"}, {"IMAGE", folder / "image.bmp"}, {"MODEL", folder / "run/best.safetensors"},
                 {"BARE", folder / "bare"}, {"FLAT", folder / "flat.safetensors"}};
        std::ofstream(words["TEXT"]) << "no image, model or archive";
        write_bmp(words["IMAGE"]);
        for (const std::string path : {"train/a", "train/b", "val/a"}) {
            fs::create_directories(folder / ("set/" + path));
            for (int i = 0; i < 20; ++i) write_bmp(folder / ("set/" + path + "/" + std::to_string(i) + ".bmp"));
        }
        for (const std::string path : {"train/a", "train/b", "val/a", "val/b"})
            fs::create_directories(folder / ("bare/" + path));
        for (const std::string name : {"a", "b"}) write_bmp(folder / ("bare/train/" + name + "/0.bmp"));
        lathe::nn::save(*lathe::nn::model_from_description(
                            R"({"input": [5], "layers": [{"name": "fc", "op": "linear", "out": 2}]})", "flat"),
                        words["FLAT"]);
        const std::string set = "--data folder:" + words["SET"] + " ";  // few and small: it is opened again and again
        REQUIRE(testing::lathe("train --model lenet5 --epochs 1 " + set + "--out " + (folder / "run")).code == 0);
        const std::string model = " --model " + words["MODEL"] + " ", out = "--out " + words["OUT"] + " ";
        words["TRAIN"] = "train --model lenet5 " + set + out;
        words["PRUNE"] = "prune" + model + set + out;
        words["QUANTIZE"] = "quantize" + model + set + out;
        words["SCAN"] = "scan" + model + set;
        words["EVAL"] = "eval" + model + set;
        words["PROFILE"] = "profile --model lenet5 ";
        words["COMPARE"] = "compare " + words["MODEL"] + " ";
        words["PREDICT"] = "predict" + model + words["IMAGE"] + " ";
        words["TUNE"] = "tune --out " + words["OUT"] + "/table ";
        words["LEARN"] = "nas predictor --table " + words["TEXT"] + " " + out;
        words["SUPER"] = "nas train --space ofa-resnet-cifar " + set + out;
        words["SAMPLE"] = "nas sample --supernet " + words["MODEL"] + " " + set + "--out " + words["OUT"] + "/table ";
        words["TAKE"] = "nas extract --supernet " + words["MODEL"] + " " + set + "--out " + words["OUT"] + "/model ";
        words["SEARCH"] = "nas search --predictor " + words["TEXT"] + " ";
    }

    // The text with what its words in capitals stand for.
    std::string filled(std::string text) const {
        for (const auto& [word, meaning] : words)
            for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += meaning.size())
                text.replace(at, word.size(), meaning);
        return text;
    }
};

}  // namespace

TEST_CASE("bad command lines: one clear line, the right code, and nothing left behind") {
    const Files files;
    for (const Row& row : kRows) {
        CAPTURE(row.line);
        check_fails(testing::lathe(files.filled(row.line)), row.code, files.filled(row.words));
        CHECK_FALSE((fs::exists(files.words.at("OUT")) && !fs::is_empty(files.words.at("OUT"))));
        fs::remove_all(files.words.at("OUT"));
    }
}

TEST_CASE("bad numbers: every number of every command") {
    const Files files;
    const std::regex option(R"(\n  (?:-\w,)?(--[\w-]+)[^\n]* (INT|UINT|FLOAT)\b)");
    int tried = 0;
    for (const char* name : {"TRAIN", "PRUNE", "QUANTIZE", "SCAN", "EVAL", "PROFILE", "COMPARE", "PREDICT", "TUNE",
                             "LEARN", "SEARCH", "SUPER", "SAMPLE"}) {
        const std::string command = files.words.at(name),
                          help = testing::lathe(command.substr(0, command.find(" --")) + " --help").out;
        for (std::sregex_iterator at(help.begin(), help.end(), option), end; at != end; ++at)
            for (const char* word : {"''", "nan", "3x", "1e400"}) {
                const std::string line = command + (*at)[1].str() + " " + word;
                CAPTURE(line);
                check_fails(testing::lathe(line), 2, (*at)[1].str().substr(2));
                ++tried;
            }
    }
    CHECK(tried > 200);
}
