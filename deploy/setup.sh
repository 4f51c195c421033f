# shellcheck shell=bash
# ./deploy.sh setup: everything the functions need. What is there is listed first and only what is missing is made, so that a
# second run changes nothing. A list that cannot be read ends everything: only an empty one means that nothing is there.

readonly APIS=(cloudfunctions run cloudbuild artifactregistry eventarc pubsub cloudscheduler firestore firebaserules identitytoolkit
	secretmanager storage iam compute monitoring)
readonly DATABASE_LOCATION=nam5 # a multi-region: one region may fail; it cannot be changed later

set_up() {
	PROJECT_NUMBER=$(google projects describe "$GOOGLE_CLOUD_PROJECT" --format='value(projectNumber)') ||
		fail 1 "the project $GOOGLE_CLOUD_PROJECT cannot be seen; is it the right one, and who is signed in? gcloud auth list"
	readonly PROJECT_NUMBER
	mkdir -p .prodai
	read -ra SECRET_NAMES < <("$PYTHON" -c 'from deploy import preflight; print(*preflight.SECRETS)')
	read -ra TOPICS < <("$PYTHON" -c 'from deploy import delivery; print(*delivery.own_topics())')
	read -ra DEAD_LETTERS < <("$PYTHON" -c 'from deploy import delivery; print(*delivery.dead_letters())')
	LEFT=(apis accounts topics buckets secrets database schedule watcher rights documents)
	trap report EXIT
	while ((${#LEFT[@]})); do
		say "setup: ${LEFT[0]}"
		"set_up_${LEFT[0]}"
		DONE+=("${LEFT[0]}") LEFT=("${LEFT[@]:1}")
	done
	say "setup: everything is in place"
}

missing_from() { # LIST NAME…: the names that are no line of the list
	local list=$1 name
	shift
	for name in "$@"; do grep -qxF -- "$name" <<<"$list" || echo "$name"; done
}

set_up_apis() {
	local enabled missing
	enabled=$(google services list --enabled --format='value(config.name)')
	mapfile -t missing < <(missing_from "$enabled" "${APIS[@]/%/.googleapis.com}")
	((! ${#missing[@]})) || change services enable "${missing[@]}"
}

set_up_accounts() {
	local there name
	there=$(google iam service-accounts list --format='value(email)')
	for name in $("$PYTHON" -c 'from deploy import preflight; print(*preflight.accounts())'); do
		[[ ! $(missing_from "$there" "$(account "$name")") ]] ||
			change iam service-accounts create "prodai-$name" --display-name="prodai $name"
	done
}

set_up_topics() { # and those for dead letters, each with a subscription that keeps them for a week
	local there missing topic
	there=$(google pubsub topics list --format='value(name.basename())')
	mapfile -t missing < <(missing_from "$there" "${TOPICS[@]}" "${DEAD_LETTERS[@]}")
	((! ${#missing[@]})) || change pubsub topics create "${missing[@]}"
	there=$(google pubsub subscriptions list --format='value(name.basename())')
	for topic in $(missing_from "$there" "${DEAD_LETTERS[@]}"); do
		change pubsub subscriptions create "$topic" --topic="$topic" --message-retention-duration=7d --expiration-period=never
	done
}

set_up_buckets() { # one a region: no public access, the web client may send to it, what is old is deleted
	local there pair bucket wanted found
	there=$(google storage buckets list --format='value(name)')
	"$PYTHON" -m deploy.buckets cors >.prodai/cors.json
	"$PYTHON" -m deploy.buckets lifecycle >.prodai/lifecycle.json
	wanted=$(cat .prodai/cors.json .prodai/lifecycle.json && "$PYTHON" -m deploy.buckets access)
	for pair in ${UPLOAD_BUCKETS//,/ }; do
		bucket=${pair#*=}
		if [[ $(missing_from "$there" "$bucket") ]]; then
			change storage buckets create "gs://$bucket" --location="$("$PYTHON" -m deploy.buckets place "${pair%%=*}")" \
				--uniform-bucket-level-access --public-access-prevention
			found=''
		else
			found=$(google storage buckets describe "gs://$bucket" --raw --format=json | "$PYTHON" -m deploy.buckets found)
		fi
		[[ $found == "$wanted" ]] || change storage buckets update "gs://$bucket" --uniform-bucket-level-access \
			--public-access-prevention --cors-file=.prodai/cors.json --lifecycle-file=.prodai/lifecycle.json
	done
}

set_up_secrets() { # their values are the operator's to give: they never pass through this script
	local there name
	there=$(google secrets list --format='value(name.basename())')
	for name in $(missing_from "$there" "${SECRET_NAMES[@]}"); do
		change secrets create "$name" --replication-policy=automatic
		say "setup: give it a value: printf %s THE_VALUE | gcloud secrets versions add $name --data-file=- --project=$GOOGLE_CLOUD_PROJECT"
	done
}

set_up_database() {
	local there overrides ttls collection field ttl
	there=$(google firestore databases list --format='value(name.basename())')
	[[ ! $(missing_from "$there" '(default)') ]] ||
		change firestore databases create --location="$DATABASE_LOCATION" --type=firestore-native
	there=$(google firestore backups schedules list --database='(default)' --format='value(name)' || not_there_yet)
	[[ $there ]] || change firestore backups schedules create --database='(default)' --recurrence=daily --retention=14d
	overrides=$(google firestore indexes fields list --format='value(name.segment(5),name.basename())' || not_there_yet)
	ttls=$(google firestore fields ttls list --format='value(name.segment(5),name.basename())' || not_there_yet)
	while read -r collection field ttl; do
		[[ ! $(missing_from "$overrides" "$collection	$field") ]] ||
			change firestore indexes fields update "$field" --collection-group="$collection" --disable-indexes --async
		[[ $ttl != True || ! $(missing_from "$ttls" "$collection	$field") ]] ||
			change firestore fields ttls update "$field" --collection-group="$collection" --enable-ttl --async
	done < <("$PYTHON" -c '
import json
for row in json.load(open("firestore.indexes.json"))["fieldOverrides"]:
    print(row["collectionGroup"], row["fieldPath"], row.get("ttl", False))')
}

set_up_schedule() {
	local place there cron
	place=$("$PYTHON" -m deploy.buckets place "${HOME_REGION:-us}")
	cron=$("$PYTHON" -m deploy.delivery cron)
	there=$(google scheduler jobs list --location="$place" --format='value[separator=" "](name.basename(),schedule)')
	if [[ $there != *prodai-tick* ]]; then
		change scheduler jobs create pubsub prodai-tick --location="$place" --schedule="$cron" \
			--topic="projects/$GOOGLE_CLOUD_PROJECT/topics/tick" --message-body='{}'
	elif [[ $(missing_from "$there" "prodai-tick $cron") ]]; then
		change scheduler jobs update pubsub prodai-tick --location="$place" --schedule="$cron"
	fi
}

set_up_watcher() { # from outside, each minute: where nobody else asks for the status, that is what sees that no tick comes
	local host name there
	host=metrics-$PROJECT_NUMBER.$("$PYTHON" -m deploy.buckets place "${HOME_REGION:-us}").run.app # known before it is deployed
	name="prodai $host"
	there=$(google monitoring uptime list-configs --format='value(displayName)')
	[[ ! $(missing_from "$there" "$name") ]] || change monitoring uptime create "$name" --resource-type=uptime-url \
		--resource-labels="host=$host,project_id=$GOOGLE_CLOUD_PROJECT" --protocol=https --path=/v1/status --period=1
}

set_up_rights() {
	local topic name pair
	google storage service-agent >/dev/null # storage's agent is made when it is first asked for
	grant project projects "$GOOGLE_CLOUD_PROJECT"
	for topic in "${TOPICS[@]}"; do grant "topic:$topic" pubsub topics "$topic"; done
	for name in "${SECRET_NAMES[@]}"; do grant "secret:$name" secrets "$name"; done
	for pair in ${UPLOAD_BUCKETS//,/ }; do grant bucket storage buckets "gs://${pair#*=}"; done
	for name in $("$PYTHON" -c 'from deploy import preflight; print(*preflight.acted_as())'); do
		grant "account:$name" iam service-accounts "$(account "$name")"
	done
}

not_there_yet() { # in a dry run, what it would have made cannot be listed; else an error stays an error
	[[ $DRY_RUN ]]
}

grant() { # RESOURCE GROUP… NAME: the rights that deploy/rights.json gives on it; what else is granted stays
	local resource=$1 group=("${@:2:$#-2}") name=${*: -1} policy=.prodai/policy.json current
	current=$(google "${group[@]}" get-iam-policy "$name" --format=json || not_there_yet)
	"$PYTHON" -m deploy.policy "$GOOGLE_CLOUD_PROJECT" "$PROJECT_NUMBER" "$resource" <<<"${current:-{\}}" >"$policy"
	[[ ! -s $policy ]] || change "${group[@]}" set-iam-policy "$name" "$policy"
}

set_up_documents() {
	gcloud auth print-access-token --quiet | "$PYTHON" -m deploy.documents "$GOOGLE_CLOUD_PROJECT" ${DRY_RUN:+--dry-run}
}
