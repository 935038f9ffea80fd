#!/bin/bash
# A day on a machine with a GPU, in one command of about 40 minutes:
#     tools/dev/gpu_day.sh OUT [--resnet50 FILE] [--try]
# The same command again goes on after any stop: what has ended is not repeated.
#
# 1. Parity with the published network, and of the aggregation with the CPU, in plain float32.
# 2. Benchmarks of aggregation, inference and training step: every backend, TF32 off and on,
#    bfloat16, torch.compile.
# 3. The full network at 256 x 256 in bfloat16, both stages, on Kvasir-SEG, scored on its 120
#    validation images and on CVC-ClinicDB. The encoder is EfficientNet-Lite2; with --resnet50 FILE,
#    ImageNet weights of torchvision, it is the published ResNet-50.
#
# OUT/*.json and OUT/*.csv are to be published, OUT/*.log says what each step printed, OUT/train
# holds the checkpoints. Data are in data/kvasir-seg and data/cvc-clinicdb-odd, or in DATA=DIR.
# PYTHON=FILE names the interpreter. --try does all this on a CPU, with a few small steps.
set -euo pipefail
wrong() { echo "usage: tools/dev/gpu_day.sh OUT [--resnet50 FILE] [--try]" >&2 && exit 2; }
out='' weights='' try=''
while [ $# -gt 0 ]; do
  case $1 in
    --resnet50) [ -f "${2:-}" ] || wrong; weights=$(realpath "$2"); shift ;;
    --try) try=1 ;;
    -*) wrong ;;
    *) out=$(realpath -m "$1") ;;
  esac
  shift
done
[ -n "$out" ] || wrong
data=$(realpath -m "${DATA:-data}")
python=${PYTHON:-python}
cd "$(dirname "$0")/../.."
mkdir -p "$out"
# what is published names folders of the checkout as it sees them
out=$(realpath --relative-base=. "$out") data=$(realpath -m --relative-base=. "$data")

device=cuda epochs=(20 60) loader=(num_workers=8)
bench=(--batch 8 --compile) cases=()
if [ -n "$try" ]; then
  device=cpu epochs=(1 1) loader=(num_workers=0 persistent_workers=False batch_size=2 dataset.indices=4)
  bench=(--batch 1 --shape 32 32 --no-memory --repeats 1 --warmup 1 --dtype float32)
  cases=(--case 1 8 8 3 --no-memory --repeats 1 --warmup 1)
fi

once() {  # NAME COMMAND ...: runs it unless it has ended before
  local name=$1 && shift
  [ -e "$out/$name.done" ] && return
  echo "$(date +%T) $name"
  "$@" > "$out/$name.log" 2>&1 || { tail -20 "$out/$name.log" >&2 && exit 1; }
  touch "$out/$name.done"
}
benchmark() {  # NAME VARIABLE=VALUE BENCHMARK OPTION ...
  local name=$1 tf32=$2 && shift 2
  once "$name" env "$tf32" "$python" tools/dev/benchmark.py "$@" --device "$device" --json "$out/$name.json"
}

once parity env NVIDIA_TF32_OVERRIDE=0 CONDSEG_MMSEG_DEVICE=$device \
  "$python" -m pytest -q -rs tests/models/test_on_a_gpu.py
# the first keeps every library from TF32, the second adds cuBLAS to cuDNN, which takes it anyway
for tf32 in off:NVIDIA_TF32_OVERRIDE=0 on:TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1; do
  for kind in op model train; do
    options=("${bench[@]}") && [ $kind != op ] || options=("${cases[@]}")
    benchmark "${kind}_tf32_${tf32%%:*}" "${tf32#*:}" $kind "${options[@]}"
  done
done
benchmark op_bfloat16 NVIDIA_TF32_OVERRIDE=0 op --dtype bfloat16 "${cases[@]}"

kvasir=$data/kvasir-seg/ size=kvasir-seg-256x256
both=(optim_wrapper.type=AutocastOptimWrapper)
for part in train val test; do
  both+=("${part}_dataloader.dataset.data_root=$kvasir")
  [ -z "$try" ] || both+=("${part}_dataloader.dataset.indices=4")
done
both+=("${loader[@]/#/train_dataloader.}")
if [ -n "$weights" ]; then
  encoder=resnet50 first=("model.backbone.init_cfg.checkpoint=$weights") second=()
else
  encoder=lite2 widths='(16,24,48,120)'
  both+=(model.backbone._delete_=True model.backbone.type=EfficientNetLite model.backbone.arch=lite2)
  first=("model.decode_head.in_channels=$widths") second=("model.neck.in_channels=$widths")
fi
once "train_$encoder" "$python" -m condseg_mmseg train "condseg-stage1_r50_1xb8-300e_$size" \
  "condseg_r50_1xb12-300e_$size" --work-dir "$out/train/$encoder" --resume --cfg-options "${both[@]}" \
  --stage1-options "train_cfg.max_epochs=${epochs[0]}" "${first[@]}" \
  --stage2-options "train_cfg.max_epochs=${epochs[1]}" "${second[@]}"
cp "$out/train/$encoder/two_stages.json" "$out/train_$encoder.json"

config=$out/train/$encoder/stage2/condseg_r50_1xb12-300e_$size.py
checkpoint=$(cat "$out/train/$encoder/stage2/last_checkpoint")
score() {  # NAME OPTION ...: the last checkpoint
  once "$1" "$python" -m condseg_mmseg evaluate "$config" "$checkpoint" --force --csv "$out/$1.csv" \
    --json "$out/$1.json" --work-dir "$out/train/score" --cfg-options "${@:2}" \
    test_evaluator.0.extra_metrics=weighted_f,mae,object_recall,object_precision
}
score "${encoder}_val" test_dataloader.dataset.ann_file=val.txt
score "${encoder}_unseen" "test_dataloader.dataset.data_root=$data/cvc-clinicdb-odd/" \
  test_dataloader.dataset.ann_file=all.txt test_dataloader.dataset.pipeline.2.mode=threshold
sed -i "/\"name\": \"$(hostname)\",/d" "$out"/*.json  # of the machine
echo "$(date +%T) all done: $out"
