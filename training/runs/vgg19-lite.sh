#!/usr/bin/env bash
# Reproduces pretrained/vgg19-lite from folders of pictures and the weights of ImageNet's VGG-19.
#
#   training/runs/vgg19-lite.sh VGG19.safetensors PHOTOGRAPHS PAINTINGS TEXTURES
#
# The first two parts take about three and a half hours on 2 CPU cores. The third took three minutes
# and the fourth five and a half on an H200 that was shared with other runs, at about 130 to 170 crops
# a second; on 2 cores each would take more than a day, by the cost of a step. The last part, decoder 3
# alone, takes a quarter of an hour on 2 CPU cores. docs/weights.md has the figures to expect, and
# says in what the shipped weights departed from these settings.
set -euo pipefail
cd "$(dirname "$0")/../.."

teacher=$1 photographs=$2 paintings=$3 textures=$4
run=runs/vgg19-lite

python -m training distil training/configs/vgg19-lite.toml --run "$run" --teacher "$teacher" \
    --images "$photographs" --images "$paintings" --images "$textures"
python -m training distil training/configs/vgg19-lite-finish.toml --run "$run/finish" \
    --teacher "$teacher" --model "$run/distil/model" \
    --images "$photographs" --images "$paintings" --images "$textures"
python -m training distil training/configs/vgg19-lite-content.toml --run "$run/content" \
    --teacher "$teacher" --model "$run/finish/distil/model" \
    --images "$photographs" --images "$paintings" --images "$textures"
python -m training distil training/configs/vgg19-lite-nearer.toml --run "$run/nearer" \
    --teacher "$teacher" --model "$run/content/distil/model" \
    --images "$photographs" --images "$paintings" --images "$textures"
python -m training average "$run"/{content,nearer}/distil/model "$run/average"
python -m training decoders training/configs/vgg19-lite-weave.toml --level 3 \
    --run "$run/weave" --model "$run/average" \
    --images "$photographs" --images "$paintings" --images "$textures"
model="$run/weave/decoders-3/model"
python -m training evaluate "$model" --images "$photographs" --side 320 \
    --styles "$paintings" --teacher "$teacher"
python -m training export "$model" "$run/vgg19-lite" \
    --about training/runs/vgg19-lite.about.toml
python -m training bank "$run/vgg19-lite"
