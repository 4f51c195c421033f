#!/usr/bin/env bash
# Deploys the functions, each on its own. docs/operations.md has the whole story; ./deploy.sh --help the options.
#
# The way of one function: staged with shared/ into a clean bundle, loaded with only its own requirements, deployed as a
# revision without traffic, asked one real question; then it takes the traffic. Whatever fails, traffic stays where it was.
set -euo pipefail
((BASH_VERSINFO[0] >= 4)) || { echo "deploy: bash 4 or later is needed, this is $BASH_VERSION" >&2 && exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly RUNTIME=python311
readonly BUNDLES=.prodai/bundles
readonly DEPLOYED_FILES=(functions shared deploy deploy.sh firestore.rules firestore.indexes.json)
PYTHON=${PYTHON:-python3}
MODE=deploy DRY_RUN='' STAGE='' PERCENT=100 REGIONS='-'
NAMES=() DONE=() LEFT=()
declare -A VERSIONS=() # of the secrets, as far as they were asked for

usage() {
	cat <<-'END'
		usage: ./deploy.sh FUNCTION…|all [--region us,eu,asia] [--dry-run]     deploy
		       ./deploy.sh FUNCTION…|all --canary PERCENT [--region …]         deploy, and give it a share of the traffic
		       ./deploy.sh FUNCTION…|all --promote|--rollback [--region …]     move all traffic to the new revision, or back
		       ./deploy.sh FUNCTION…|all --status [--region …]                 what is deployed, and what serves
		       ./deploy.sh FUNCTION…|all --stage DIR                           stage the bundles only
		       ./deploy.sh setup [--dry-run]                                   all that the functions need; changes what differs
		       ./deploy.sh front [--region …] [--dry-run]                      one address for the HTTP functions of all regions
	END
}

say() { printf '%s\n' "$*" >&2; }
fail() { # CODE MESSAGE
	say "deploy: $2"
	exit "$1"
}

main() {
	parse "$@"
	command -v "$PYTHON" >/dev/null || fail 2 "$PYTHON is missing; install Python 3.11 or later"
	"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail 2 "$PYTHON is too old: 3.11 or later is needed"
	if [[ $STAGE ]]; then
		stage_only
		return
	fi
	local rows regions
	rows=$("$PYTHON" -m deploy.preflight rows "$REGIONS" "${NAMES[@]}") || exit 2
	[[ $DRY_RUN ]] || check_surroundings
	# shellcheck source=deploy/setup.sh
	[[ $MODE != setup && $MODE != front ]] || source deploy/setup.sh
	# shellcheck source=deploy/front.sh
	[[ $MODE != front ]] || source deploy/front.sh
	case $MODE in
	setup) set_up ;;
	front)
		mapfile -t regions < <(cut -d $'\x1f' -f 2 <<<"$rows" | sort -u)
		set_up_front "${regions[@]}"
		;;
	*) trap report EXIT && each_row "$rows" ;;
	esac
}

parse() {
	while (($#)); do
		case $1 in
		--dry-run) DRY_RUN=1 ;;
		--stage | --region | --canary)
			(($# > 1)) || fail 2 "$1 needs a value"
			case $1 in
			--stage) STAGE=$2 ;;
			--region) REGIONS=$2 ;;
			--canary) PERCENT=$2 ;;
			esac
			shift
			;;
		--promote | --rollback | --status) MODE=${1#--} ;;
		setup | front) MODE=$1 NAMES+=(all) ;;
		-h | --help) usage && exit ;;
		-*) usage >&2 && fail 2 "$1 is no option" ;;
		*) NAMES+=("$1") ;;
		esac
		shift
	done
	((${#NAMES[@]})) || { usage >&2 && fail 2 "name a function, or all"; }
	[[ $PERCENT =~ ^[1-9][0-9]?$|^100$ ]] || fail 2 "--canary takes a share of 1 to 100 percent, not $PERCENT"
}

check_surroundings() {
	command -v gcloud >/dev/null || fail 2 "gcloud is missing; see https://cloud.google.com/sdk/docs/install"
	command -v curl >/dev/null || fail 2 "curl is missing; it asks a new revision its first question"
	[[ ${CONFIRM_PROJECT:-} == "$GOOGLE_CLOUD_PROJECT" ]] ||
		fail 2 "this is for the project $GOOGLE_CLOUD_PROJECT; set CONFIRM_PROJECT=$GOOGLE_CLOUD_PROJECT to say that it is meant"
	if [[ $MODE == deploy || $MODE == setup || $MODE == front ]]; then
		command -v git >/dev/null || fail 2 "git is missing; it tells which commit is deployed"
		[[ ! $(git status --porcelain -- "${DEPLOYED_FILES[@]}") ]] ||
			fail 2 "there are uncommitted changes in what is deployed; commit or stash them: git status ${DEPLOYED_FILES[*]}"
	fi
	gcloud auth print-access-token --quiet | "$PYTHON" -m deploy.permissions "$GOOGLE_CLOUD_PROJECT" "$MODE" || exit 2
}

google() { gcloud "$@" --project="$GOOGLE_CLOUD_PROJECT" --quiet; }

change() { # a gcloud command that changes something: shown, and in a dry run nothing more
	{ printf 'gcloud' && printf ' %q' "$@" "--project=$GOOGLE_CLOUD_PROJECT" --quiet && echo; } >&"$([[ $DRY_RUN ]] && echo 1 || echo 2)"
	[[ $DRY_RUN ]] || google "$@" >/dev/null
}

stage_only() {
	local sources source fingerprint
	sources=$("$PYTHON" -m deploy.preflight sources "${NAMES[@]}") || exit 2
	for source in $sources; do
		fingerprint=$("$PYTHON" -m deploy.bundle "$source" "$STAGE/${source##*/}") || exit 2
		say "$source is staged into $STAGE/${source##*/}, fingerprint ${fingerprint:0:12}"
	done
}

each_row() { # ROWS: as deploy/preflight.py prints them; names the fields of each for the functions below
	local row
	while IFS= read -r row; do LEFT+=("$(label "$row")"); done <<<"$1"
	# shellcheck disable=SC2034 # THREADS has its place in the row
	while IFS=$'\x1f' read -r NAME REGION PLACE SOURCE ENTRY_POINT TRIGGER MEMORY_MIB CPU CONCURRENCY THREADS TIMEOUT_S \
		MIN_INSTANCES MAX_INSTANCES SECRETS VARIABLES FINGERPRINT <&3; do
		"${MODE}_one"
		DONE+=("${LEFT[0]}") LEFT=("${LEFT[@]:1}")
	done 3<<<"$1"
}

label() { # ROW
	local name region
	IFS=$'\x1f' read -r name region _ <<<"$1"
	echo "$name in $region"
}

report() { # at the end, however it came: what was done and what was not
	local code=$?
	((code)) || return 0
	say "deploy: stopped at ${LEFT[0]:-the end}"
	say "  done:     $(IFS=, && echo "${DONE[*]:-nothing}")"
	say "  not done: $(IFS=, && echo "${LEFT[*]:-nothing}")"
	say "  the same command again goes on from there; what is done already it leaves alone"
}

deploy_one() {
	stage_bundle
	[[ ! $DRY_RUN ]] || {
		SECRETS=${SECRETS//\?/} describe_deployment
		return
	}
	pin_secrets
	look
	local has_it=''
	[[ $LATEST && $DEPLOYED == "$BUNDLE "* ]] && has_it=yes
	[[ ! $has_it ]] || tune_subscription # how events are delivered is no part of the bundle
	if [[ $has_it && $FOLLOWS_LATEST == no && $SPLIT == *"$LATEST="* ]]; then
		say "$NAME in $REGION: $LATEST has this bundle, nothing is deployed; traffic: $SPLIT"
		return
	fi
	if [[ $has_it && $LATEST == "$ROLLED_BACK" ]]; then
		say "$NAME in $REGION: this bundle was rolled back, so it is not deployed again; --promote puts it back; traffic: $SPLIT"
		return
	fi
	local before=$SERVING
	if [[ ! $has_it || $CANDIDATE != "$LATEST" ]]; then # else an earlier run came as far as the question
		new_revision
	fi
	ask_candidate
	if [[ ! $before || $before == "$CANDIDATE" ]]; then # the first: there is nothing to share traffic with
		traffic --to-revisions="$CANDIDATE=100"
	elif ((PERCENT == 100)); then
		traffic --to-revisions="$CANDIDATE=100" --update-tags="previous=$before"
	else
		traffic --to-revisions="$before=$((100 - PERCENT)),$CANDIDATE=$PERCENT" --update-tags="previous=$before"
	fi
	say "$NAME in $REGION: $CANDIDATE serves (before: ${before:-nothing}); back with ./deploy.sh $NAME --region $REGION --rollback"
}

new_revision() { # one without traffic, complete with its rights and its subscription: then it is tagged as the candidate
	smoke_test
	[[ $FOLLOWS_LATEST != yes ]] || traffic --to-revisions="$SERVING=100" # or it would take the traffic at once
	deploy_revision
	look
	[[ $LATEST ]] || fail 1 "$NAME in $REGION: the new revision is not ready; traffic stays with ${SERVING:-nothing}"
	tune_subscription
	traffic --update-tags="candidate=$LATEST"
	look
}

promote_one() {
	look
	[[ $CANDIDATE ]] || fail 1 "$NAME in $REGION has no new revision to promote; deploy one first"
	if [[ $SPLIT == "$CANDIDATE=100" ]]; then
		say "$NAME in $REGION: $CANDIDATE serves all traffic already"
		return
	fi
	ask_candidate
	[[ $SERVING == "$CANDIDATE" ]] || PREVIOUS=$SERVING
	traffic --to-revisions="$CANDIDATE=100" ${PREVIOUS:+--update-tags="previous=$PREVIOUS"}
	say "$NAME in $REGION: $CANDIDATE serves all traffic (before: $SPLIT)"
}

rollback_one() {
	look
	[[ $SPLIT ]] || fail 1 "$NAME is not deployed in $REGION"
	local revisions target
	revisions=$(google run revisions list --service="$NAME" --region="$PLACE" --format=json)
	target=$("$PYTHON" -m deploy.service "$NAME" before "$SPLIT" "$PREVIOUS" <<<"$revisions")
	[[ $target ]] || fail 1 "$NAME in $REGION has no revision before $SERVING"
	traffic --to-revisions="$target=100" --update-tags="rolled-back=${LATEST:-$SERVING}" \
		${PREVIOUS:+--remove-tags=previous} # `rolled-back`: so that no deployment brings it back
	say "$NAME in $REGION: $target serves all traffic (before: $SPLIT)"
}

status_one() {
	look
	printf '%-17s %-5s %-50s candidate %s, previous %s\n' \
		"$NAME" "$REGION" "${SPLIT:-not deployed}" "${CANDIDATE:-none}" "${PREVIOUS:-none}"
}

stage_bundle() {
	local bundle=$BUNDLES/${SOURCE##*/} fingerprint
	rm -rf "$bundle"
	fingerprint=$("$PYTHON" -m deploy.bundle "$SOURCE" "$bundle")
	BUNDLE=${fingerprint:0:12}-${FINGERPRINT:0:12}
}

pin_secrets() { # to the newest version: so a new one is a reason to deploy, and a rollback brings back the old one
	local pairs pair name pinned=()
	IFS=, read -ra pairs <<<"$SECRETS"
	for pair in "${pairs[@]}"; do
		name=${pair%%=*}
		[[ ${VERSIONS[$name]:-} ]] || VERSIONS[$name]=$(google secrets versions list "$name" --filter=state=enabled \
			--sort-by=~createTime --limit=1 --format='value(name.basename())')
		BUNDLE+=-v${VERSIONS[$name]:-0}
		if [[ ${VERSIONS[$name]} ]]; then
			pinned+=("$name=$name:${VERSIONS[$name]}")
		elif [[ $pair != *'?' ]]; then
			fail 1 "the secret $name has no value; ./deploy.sh setup says how to give it one"
		fi
	done
	SECRETS=$(IFS=, && echo "${pinned[*]}")
}

smoke_test() {
	local bundle=$BUNDLES/${SOURCE##*/}
	"$PYTHON" -m deploy.smoke "$bundle" "$bundle.venv" "$ENTRY_POINT" || fail 1 "$NAME in $REGION: nothing was deployed"
}

deploy_revision() { # every setting at every deploy, since updates are partial
	local flags=(
		--gen2 "--region=$PLACE" "--runtime=$RUNTIME" "--source=$BUNDLES/${SOURCE##*/}" "--entry-point=$ENTRY_POINT"
		"--memory=${MEMORY_MIB}Mi" "--cpu=$CPU" "--concurrency=$CONCURRENCY" "--timeout=${TIMEOUT_S}s"
		"--min-instances=$MIN_INSTANCES" "--max-instances=$MAX_INSTANCES" "--service-account=$(account "$NAME")"
		"--build-service-account=projects/$GOOGLE_CLOUD_PROJECT/serviceAccounts/$(account build)"
		"--set-env-vars=^|^$VARIABLES|BUNDLE=$BUNDLE|COMMIT=$(git rev-parse --short HEAD)" "--set-secrets=$SECRETS"
	)
	case $TRIGGER in
	http) flags+=(--trigger-http --allow-unauthenticated) ;; # the functions themselves ask for the ID token
	topic:*) flags+=("--trigger-topic=${TRIGGER#topic:}") ;;
	bucket:*) flags+=("--trigger-bucket=${TRIGGER#bucket:}" "--trigger-location=$PLACE") ;;
	esac
	[[ $TRIGGER == http ]] || flags+=(--retry "--trigger-service-account=$(account trigger)" --no-allow-unauthenticated)
	change functions deploy "$NAME" "${flags[@]}" || fail 1 "$NAME in $REGION: not deployed; traffic stays with ${SERVING:-nothing}"
}

account() { echo "prodai-$1@$GOOGLE_CLOUD_PROJECT.iam.gserviceaccount.com"; }

describe_deployment() {
	echo "# $NAME in $REGION ($PLACE), bundle $BUNDLE: deployed without traffic, asked one question, then given ${PERCENT} %"
	deploy_revision
	echo "# gcloud run services update-traffic $NAME --region=$PLACE --to-revisions=NEW=$PERCENT --update-tags=candidate=NEW,previous=SERVING"
}

look() { # what Google has of this function: only an empty answer means that it is not there, an error ends everything
	local services fields
	services=$(google run services list --region="$PLACE" --format=json)
	fields=$("$PYTHON" -m deploy.service "$NAME" <<<"$services")
	IFS=$'\x1f' read -r URL SERVING FOLLOWS_LATEST LATEST DEPLOYED SPLIT CANDIDATE CANDIDATE_URL PREVIOUS ROLLED_BACK _ <<<"$fields"
}

traffic() { change run services update-traffic "$NAME" --region="$PLACE" "$@" || fail 1 "$NAME in $REGION: traffic was not moved"; }

ask_candidate() { # real requests: ours answers strangers with a problem; what hears events lets none in, and drops what it cannot read
	if [[ $TRIGGER == http ]]; then
		ask '404 application/problem+json'
		return
	fi
	local token event=(--data '{"message": null}' --header 'Content-Type: application/json' --header 'ce-specversion: 1.0'
		--header 'ce-type: google.cloud.pubsub.topic.v1.messagePublished' --header 'ce-source: //deploy.sh' --header 'ce-id: question')
	token=$(identity_token) || fail 1 "$NAME in $REGION: gcloud gives no identity token to ask $CANDIDATE with"
	ask 403 "${event[@]}"
	ask 200 "${event[@]}" --header @<(printf 'Authorization: Bearer %s\n' "$token")
}

ask() { # STATUS AND TYPE, OPTION…: of curl
	local expected=$1 answer
	answer=$(curl --silent --max-time 60 --output /dev/null --write-out '%{http_code} %{content_type}' "${@:2}" "$CANDIDATE_URL/") || true
	[[ $answer == "$expected"* ]] ||
		fail 1 "$NAME in $REGION: $CANDIDATE answers ${answer:-nothing}, not $expected; traffic stays with ${SERVING:-nothing} (URL $URL)"
}

identity_token() { # a service account's must be meant for the service; gcloud refuses to say so of a user's, whose token needs it not
	gcloud auth print-identity-token --audiences="$URL" --quiet 2>/dev/null || gcloud auth print-identity-token --quiet
}

tune_subscription() { # Eventarc's own subscription waits 10 s for an answer, and drops an event after a day
	local topic=storage-events trigger subscription wanted found ack_s attempts least most
	local keys=ackDeadlineSeconds,deadLetterPolicy.deadLetterTopic,deadLetterPolicy.maxDeliveryAttempts
	case $TRIGGER in
	http) return ;;
	topic:*) topic=${TRIGGER#topic:} ;;
	esac
	read -r ack_s attempts least most < <("$PYTHON" -m deploy.delivery subscription)
	wanted="$ack_s projects/$GOOGLE_CLOUD_PROJECT/topics/$topic-dead-letter $attempts $least $most"
	trigger=$(google functions describe "$NAME" --gen2 --region="$PLACE" --format='value(eventTrigger.trigger)')
	subscription=$(google eventarc triggers describe "$trigger" --location="$PLACE" --format='value(transport.pubsub.subscription)')
	found=$(google pubsub subscriptions describe "$subscription" \
		--format="value[separator=' ']($keys,retryPolicy.minimumBackoff,retryPolicy.maximumBackoff)")
	[[ $found == "$wanted" ]] || change pubsub subscriptions update "$subscription" --ack-deadline="$ack_s" \
		--dead-letter-topic="$topic-dead-letter" --max-delivery-attempts="$attempts" --min-retry-delay="$least" --max-retry-delay="$most" ||
		fail 1 "$NAME in $REGION: its subscription has $found, not $wanted; ./deploy.sh setup makes the topic"
}

main "$@"
