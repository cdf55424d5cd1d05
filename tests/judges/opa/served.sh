# Sourced by run: stock OPA as a server beside an MCP server polls the policies in force from a running Portcullis, with the read token, decides as
# Portcullis does, and takes other policies up. Both listen on ports that the system chooses; $opa, $portcullis, row and reports are the caller's.

token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
started=()
stop_servers() { [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null; }

# until_true SECONDS COMMAND…: tries again until it succeeds.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

start_portcullis() {
	(umask 077 && echo "$token" >read.token)
	sed 's/^issuer:.*/&\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nadmin_bundle_token_file: read.token\npolicies: policy/' site.yaml >served.yaml
	serve_portcullis
}

serve_portcullis() {
	"$portcullis" serve --config served.yaml >/dev/null 2>served.log &
	serving=$!
	started+=("$serving")
	until_true 20 grep -q "^portcullis is ready" served.log || { cat served.log; return 1; }
	admin=$(sed -n 's|^portcullis is ready:.*admin http://\([^,]*\),.*|\1|p' served.log)
	[ -n "$admin" ]
}

# start_opa NAME TOKEN: OPA listens on a socket of the file system and polls each second.
start_opa() {
	echo "$2" >"$1.token"
	cat >"$1.yaml" <<END
services:
  portcullis: {url: "http://$admin", credentials: {bearer: {token_path: "$work/$1.token"}}}
bundles:
  active: {service: portcullis, resource: bundles/active.tar.gz, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}
END
	"$opa" run --server --disable-telemetry --log-level debug --addr "unix://$work/$1.sock" -c "$1.yaml" >"$1.log" 2>&1 &
	started+=($!)
	until_true 20 [ -S "$1.sock" ] || { cat "$1.log"; return 1; }
}

# asked PATH [CURL ARGUMENT…]: OPA's answer.
asked() {
	local path=$1
	shift
	curl -sS --unix-socket "$work/beside.sock" "$@" "http://opa/$path"
}

activated() { [ "$(asked health?bundles=true -o /dev/null -w '%{http_code}')" = 200 ]; }

# http_status CURL ARGUMENT…: of the bundle route.
http_status() { curl -sS -o /dev/null -w '%{http_code}' "$@" "http://$admin/bundles/active.tar.gz"; }

only_the_token_opens() {
	local tag
	tag=$(curl -sS -D - -o /dev/null -H "Authorization: Bearer $token" "http://$admin/bundles/active.tar.gz" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
	echo "tag $tag"
	[ -n "$tag" ] && [ "$(http_status)" = 401 ] && [ "$(http_status -H "Authorization: Bearer ${token%?}")" = 401 ] &&
		[ "$(http_status -H "Authorization: Bearer $token")" = 200 ] && [ "$(http_status -H "Authorization: Bearer $token" -H "If-None-Match: $tag")" = 304 ]
}

# same_revision [BUT]: OPA has the revision in force, which is another one than this.
same_revision() {
	local ours theirs
	ours=$("$portcullis" policy status -o json --config served.yaml | grep -o '"revision": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{16\}')
	theirs=$(asked v1/data/system/bundles/active/manifest/revision)
	echo "ours $ours theirs $theirs"
	[ -n "$ours" ] && [ "$ours" != "${1:-}" ] && [ "$theirs" = "{\"result\":\"$ours\"}" ]
}

# call TOOL SCOPE ARGUMENTS: the input of a call.
call() {
	echo "{\"subject\": {\"username\": \"alice\"}, \"resource\": {\"server\": \"bank\"}, \"token\": {\"scopes\": [\"$2\"]}, \"mcp\": {\"method\": \"tools/call\"}, \"tool\": {\"name\": \"$1\", \"scopes\": [\"bank:pay\"], \"arguments\": $3}}"
}

# same_answers WANTED…: for each of the calls OPA beside the MCP server and the program on the folder give the same answer, and "allow" is what is wanted.
same_answers() {
	local input ours theirs
	for input in "$(call transfer bank:pay '{"amount": 5}')" "$(call transfer bank:pay '{"amount": 500}')" "$(call transfer bank:pay '{"amount": 5000}')" \
		"$(call transfer bank:pay '{}')" "$(call transfer bank:read '{"amount": 5}')" "$(call other bank:pay '{"amount": 5}')"; do
		echo "$input" >input.json
		ours=$("$portcullis" policy eval -i input.json --config served.yaml policy data.mcp.authz.tools.decision | tr -d ' \n')
		theirs=$(asked v1/data/mcp/authz/tools/decision -d "{\"input\": $input}" | tr -d ' \n')
		echo "$input"
		echo "ours   $ours"
		echo "theirs $theirs"
		[ -n "$ours" ] && [ "$theirs" = "{\"result\":$ours}" ] || return 1
		grep -q "\"allow\":$1," <<<"$ours" || { echo "not what is wanted: allow $1"; return 1; }
		shift
	done
}

# another_tool: the server is started again at the same address with a tool that rules no longer fit.
another_tool() {
	kill "$serving" && wait "$serving"
	sed -i "s/^admin_listen:.*/admin_listen: $admin/; s/amount: {type: number}/sum: {type: number}/" served.yaml
	serve_portcullis && "$portcullis" policy status --config served.yaml | grep "bank/transfer"
}

# denies_the_stale_tool: OPA denies that tool alone.
denies_the_stale_tool() {
	local stale other
	stale=$(asked v1/data/mcp/authz/tools/decision -d "{\"input\": $(call transfer bank:pay '{"sum": 5}')}")
	other=$(asked v1/data/mcp/authz/tools/decision -d "{\"input\": $(call other bank:pay '{"amount": 5}')}")
	echo "$stale"
	echo "$other"
	grep -q '"allow":false' <<<"$stale" && grep -q '"code":"catalogue_stale"' <<<"$stale" && grep -q '"allow":true' <<<"$other"
}

# answers_not_modified: OPA asked again with the tag that it has, and loaded nothing again.
answers_not_modified() {
	until_true 20 grep -q "server replied with not modified" beside.log && [ "$(grep -c "Bundle loaded and activated successfully" beside.log)" = "$1" ] && return 0
	grep -i bundle beside.log
	return 1
}

wrong_token_gets_nothing() {
	until_true 20 grep -q "401" stranger.log || { cat stranger.log; return 1; }
	! grep -q "activated successfully" stranger.log
}

served_rows() {
	row "the server starts" start_portcullis
	row "only the read token opens the bundle, and its tag answers 304" only_the_token_opens
	row "opa run --server beside an MCP server" start_opa beside "$token"
	row "OPA activates the bundle" until_true 20 activated
	row "it has the revision in force" until_true 20 same_revision
	row "it decides six calls as we do" same_answers true true false false false true
	row "it is told that nothing has changed" answers_not_modified 1
	local before
	before=$(asked v1/data/system/bundles/active/manifest/revision | grep -o '[0-9a-f]\{16\}')
	sed -i 's/^max_amount: 1000/max_amount: 100/' policy/config.yaml
	row "it takes other policies up" until_true 30 same_revision "$before"
	row "it decides the six calls as we do then" same_answers true false false false false true
	row "it has loaded twice" answers_not_modified 2
	before=$(asked v1/data/system/bundles/active/manifest/revision | grep -o '[0-9a-f]\{16\}')
	row "the server starts again, and a tool no longer fits a rule" another_tool
	row "OPA takes that up" until_true 30 same_revision "$before"
	row "it denies that tool alone" denies_the_stale_tool
	row "OPA with another token" start_opa stranger "0$token"
	row "gets nothing" wrong_token_gets_nothing
	stop_servers
}
