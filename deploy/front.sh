# shellcheck shell=bash
# ./deploy.sh front: one address for the HTTP functions of all regions, by a global external load balancer with a serverless
# group for each function and region. As in setup.sh, what is there is listed first, and only what differs is made or changed.

set_up_front() { # REGIONS
	[[ ${FRONT_DOMAIN:-} ]] || fail 2 "FRONT_DOMAIN is missing: the domain of the address, such as api.example.com"
	mkdir -p .prodai
	LEFT=(address groups backends map certificate proxy)
	trap report EXIT
	while ((${#LEFT[@]})); do
		say "front: ${LEFT[0]}"
		"set_up_${LEFT[0]}" "$@"
		DONE+=("${LEFT[0]}") LEFT=("${LEFT[@]:1}")
	done
	say "front: let $FRONT_DOMAIN point to $(google compute addresses list --global --filter=name=prodai --format='value(address)')"
}

set_up_address() {
	local there
	there=$(google compute addresses list --global --format='value(name)')
	[[ ! $(missing_from "$there" prodai) ]] || change compute addresses create prodai --global
}

set_up_groups() { # REGION…
	local there name region
	there=$(google compute network-endpoint-groups list --format='value(name)')
	for name in $("$PYTHON" -m deploy.front functions); do
		for region in "$@"; do
			[[ ! $(missing_from "$there" "prodai-$name-$region") ]] ||
				change compute network-endpoint-groups create "prodai-$name-$region" --network-endpoint-type=serverless \
					--region="$("$PYTHON" -m deploy.buckets place "$region")" --cloud-run-service="$name"
		done
	done
}

set_up_backends() { # REGION…
	local there name
	there=$(google compute backend-services list --global --format='value(name,description)')
	for name in $("$PYTHON" -m deploy.front functions); do
		"$PYTHON" -m deploy.front backend "$name" "$@" >".prodai/backend-$name.yaml"
		import_changed "$there" "prodai-$name" backend-services ".prodai/backend-$name.yaml"
	done
}

set_up_map() {
	local there
	there=$(google compute url-maps list --global --format='value(name,description)')
	"$PYTHON" -m deploy.front urlmap >.prodai/urlmap.yaml
	import_changed "$there" prodai url-maps .prodai/urlmap.yaml
}

import_changed() { # LIST NAME KIND FILE: unless the list has it with the fingerprint that the file has
	local fingerprint
	fingerprint=$(grep -oE 'deploy\.sh-[0-9a-f]+' "$4")
	[[ ! $(missing_from "$1" "$2"$'\t'"$fingerprint") ]] || change compute "$3" import "$2" --global --source="$4"
}

set_up_certificate() { # one for each domain that there ever was
	local there
	there=$(google compute ssl-certificates list --global --format='value(managed.domains.list(),name)')
	CERTIFICATE=$(awk -F '\t' -v domain="$FRONT_DOMAIN" '$1 == domain { print $2; exit }' <<<"$there")
	[[ ! $CERTIFICATE ]] || return 0
	CERTIFICATE=$("$PYTHON" -m deploy.front certificate "$FRONT_DOMAIN")
	change compute ssl-certificates create "$CERTIFICATE" --global --domains="$FRONT_DOMAIN"
}

set_up_proxy() { # the certificate of another domain stays beside the new one, which is in force only when its domain points here
	local there
	there=$(google compute target-https-proxies list --global --filter=name=prodai \
		--format='value(sslCertificates.map().basename().list(separator=","))')
	if [[ ! $there ]]; then
		change compute target-https-proxies create prodai --global --url-map=prodai --ssl-certificates="$CERTIFICATE"
	elif [[ ,$there, != *",$CERTIFICATE,"* ]]; then
		change compute target-https-proxies update prodai --global --ssl-certificates="$CERTIFICATE,$there"
	fi
	there=$(google compute forwarding-rules list --global --format='value(name)')
	[[ ! $(missing_from "$there" prodai) ]] ||
		change compute forwarding-rules create prodai --global --load-balancing-scheme=EXTERNAL_MANAGED --address=prodai \
			--target-https-proxy=prodai --ports=443
}
