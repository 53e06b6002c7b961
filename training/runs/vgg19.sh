#!/usr/bin/env bash
# Trains the five decoders of the full VGG-19, for pretrained/vgg19.
#
#   training/runs/vgg19.sh VGG19.safetensors PHOTOGRAPHS PAINTINGS TEXTURES
#
# One level after the other, as they do not depend on each other: levels 1 to 3 in about an hour on 2
# CPU cores, by the cost of a step; levels 4 and 5 in six minutes each on an H200, where both together,
# beside another run, made 22 and 16 steps a second. What is shipped departs from it: it was gone on
# with by --model, level 3 three times, levels 4 and 5 from shorter runs with fewer crops;
# docs/weights.md says how, and has the figures to expect.
set -euo pipefail
cd "$(dirname "$0")/../.."

teacher=$1 photographs=$2 paintings=$3 textures=$4
run=runs/vgg19

for level in 1 2 3 4 5; do
    config=vgg19
    if [ "$level" -gt 3 ]; then config=vgg19-deep; fi
    python -m training decoders "training/configs/$config.toml" --level "$level" --run "$run" \
        --teacher "$teacher" \
        --images "$photographs" --images "$paintings" --images "$textures"
    python -m training evaluate "$run/decoders-$level/model" --images "$photographs" --side 320
done
python -m training export "$run"/decoders-{5,4,3,2,1}/model "$run/vgg19" \
    --about training/runs/vgg19.about.toml --decoders-only
