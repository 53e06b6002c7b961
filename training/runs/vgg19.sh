#!/usr/bin/env bash
# Trains the five decoders of the full VGG-19, for pretrained/vgg19.
#
#   training/runs/vgg19.sh VGG19.safetensors PHOTOGRAPHS PAINTINGS TEXTURES
#
# One level after the other, as they do not depend on each other: about an hour on 2 CPU cores, by the
# cost of a step. So far it was run for levels 1 to 4, which are what is shipped, and level 3 was gone
# on with by --model; docs/weights.md has the steps and the figures.
set -euo pipefail
cd "$(dirname "$0")/../.."

teacher=$1 photographs=$2 paintings=$3 textures=$4
run=runs/vgg19

for level in 1 2 3 4 5; do
    python -m training decoders training/configs/vgg19.toml --level "$level" --run "$run" \
        --teacher "$teacher" \
        --images "$photographs" --images "$paintings" --images "$textures"
    python -m training evaluate "$run/decoders-$level/model" --images "$photographs" --side 320
done
python -m training export "$run"/decoders-{5,4,3,2,1}/model "$run/vgg19" \
    --about training/runs/vgg19.about.toml --decoders-only
