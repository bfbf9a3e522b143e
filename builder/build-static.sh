#!/bin/bash
# Builds FrankenPHP, one stage of base-build.Dockerfile per call: build-static.sh STAGE
#
# Each stage is a file in lib/. The Dockerfile copies only the files that a stage reads into it, so
# a change of one file runs only the stages that depend on it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib/common.sh
source "$here/lib/common.sh"

stage=${1:?usage: build-static.sh STAGE}
[ -f "$here/lib/$stage.sh" ] || fail "there is no stage \`$stage\` here"
# shellcheck source=/dev/null
source "$here/lib/$stage.sh"
"stage_${stage//-/_}"
