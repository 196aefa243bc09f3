package main

import (
	"fmt"
	"strings"
)

// Flags of k3s that the stand-in accepts and ignores: a user's arguments for a
// real node must not stop this one, a mistyped one must.
const ignoredWithValue = `
agent-token agent-token-file advertise-address advertise-port cluster-cidr cluster-dns cluster-domain
config containerd debug-address default-local-storage-path
egress-selector-mode embedded-registry etcd-arg etcd-s3-access-key etcd-s3-bucket etcd-s3-endpoint etcd-s3-endpoint-ca
etcd-s3-folder etcd-s3-region etcd-s3-secret-key etcd-s3-timeout etcd-snapshot-dir etcd-snapshot-name
etcd-snapshot-retention etcd-snapshot-schedule-cron flannel-backend flannel-conf flannel-cni-conf flannel-iface
flannel-external-ip helm-job-image image-credential-provider-bin-dir image-credential-provider-config image-service-endpoint
kine-tls kube-apiserver-arg kube-cloud-controller-manager-arg kube-controller-manager-arg kube-proxy-arg
kube-scheduler-arg kubelet-arg lb-server-port log multus node-external-ip node-internal-dns node-external-dns
nonroot-devices pause-image private-registry protect-kernel-defaults resolv-conf secrets-encryption-provider
service-cidr service-node-port-range servicelb-namespace snapshotter supervisor-metrics system-default-registry
token-file tls-san-security v vmodule vpn-auth vpn-auth-file write-kubeconfig-mode write-kubeconfig-group
container-runtime-endpoint kube-controller-manager-args etcd-expose-metrics-address airgap-extra-registry`

const ignoredSwitches = `
alsologtostderr cluster-reset debug default-runtime disable-agent disable-apiserver disable-cloud-controller
disable-controller-manager disable-default-registry-endpoint disable-etcd disable-helm-controller disable-kube-proxy
disable-network-policy disable-scheduler docker embedded-registry enable-pprof etcd-disable-snapshots
etcd-expose-metrics etcd-s3 etcd-s3-insecure etcd-s3-skip-ssl-verify etcd-snapshot-compress flannel-ipv6-masq
kubelet-in-userns no-flannel prefer-bundled-bin rootless secrets-encryption selinux with-node-id no-deploy-all
write-kubeconfig-symlink`

// Flags that change what the stand-in does.
const (
	usedWithValue = `token server tls-san node-label node-taint node-name node-ip https-listen-port datastore-endpoint
datastore-cafile datastore-certfile datastore-keyfile disable no-deploy bind-address data-dir write-kubeconfig cluster-reset-restore-path`
	usedSwitches = `cluster-init`
)

var flagAliases = map[string]string{"t": "token", "s": "server", "d": "data-dir", "o": "write-kubeconfig", "i": "node-ip", "l": "log", "c": "config"}

func words(lists ...string) map[string]bool {
	set := map[string]bool{}
	for _, list := range lists {
		for _, w := range strings.Fields(list) {
			set[w] = true
		}
	}
	return set
}

// parseFlags returns the values given for each flag. Switches have the value
// "true" or what follows their equals sign.
func parseFlags(args []string) (map[string][]string, error) {
	valued, switches := words(usedWithValue, ignoredWithValue), words(usedSwitches, ignoredSwitches)
	given := map[string][]string{}
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") || name == "" {
			// urfave/cli, which k3s uses, leaves the rest to the command; k3s ignores it.
			return given, nil
		}
		if long, ok := flagAliases[name]; ok {
			name = long
		}
		switch {
		case switches[name] && !hasValue:
			value = "true"
		case switches[name]:
		case !valued[name]:
			return nil, fmt.Errorf("flag provided but not defined: -%s", name)
		case !hasValue && i+1 == len(args):
			return nil, fmt.Errorf("flag needs an argument: -%s", name)
		case !hasValue:
			i++
			value = args[i]
		}
		given[name] = append(given[name], value)
	}
	return given, nil
}
