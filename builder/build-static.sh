#!/bin/bash
# Builds FrankenPHP, one stage of base-build.Dockerfile a call: build-static.sh STAGE
#
# Each stage is a file of its own in lib/, and the Dockerfile copies into a stage no more than that stage reads: a change of one
# file then runs again only what depends on it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib/common.sh
source "$here/lib/common.sh"

stage=${1:?usage: build-static.sh STAGE}
[ -f "$here/lib/$stage.sh" ] || fail "there is no stage \`$stage\` here"
# shellcheck source=/dev/null
source "$here/lib/$stage.sh"
"stage_${stage//-/_}"
