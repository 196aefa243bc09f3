package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// corefile is what k3s's CoreDNS reads; host names come from NodeHosts.
const corefile = `.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    hosts /etc/coredns/NodeHosts {
      ttl 60
      reload 15s
      fallthrough
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
`

// corednsManifest is the part of coredns.yaml that tools look at.
func corednsManifest(cfg *config) string {
	indented := "    " + strings.ReplaceAll(strings.TrimRight(corefile, "\n"), "\n", "\n    ")
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: coredns\n  namespace: kube-system\ndata:\n" +
		"  Corefile: |\n" + indented + "\n  NodeHosts: |\n    " + cfg.nodeIP + " " + cfg.nodeName + "\n"
}

// seedCluster makes the objects every new cluster has.
func seedCluster(ctx context.Context, s *store) error {
	seeds := map[string]object{}
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		o := newObject("v1", "Namespace", "", name)
		section(o, "metadata")["labels"] = object{"kubernetes.io/metadata.name": name}
		o["spec"] = object{"finalizers": []interface{}{"kubernetes"}}
		o["status"] = object{"phase": "Active"}
		seeds["/registry/namespaces/"+name] = o
	}
	api := newObject("v1", "Service", "default", "kubernetes")
	api["spec"] = object{"type": "ClusterIP", "clusterIP": "10.43.0.1", "ports": []interface{}{servicePort("https", 443, "TCP")}}
	seeds["/registry/services/default/kubernetes"] = api
	dns := newObject("v1", "Service", "kube-system", "kube-dns")
	section(dns, "metadata")["labels"] = object{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
	dns["spec"] = object{"type": "ClusterIP", "clusterIP": "10.43.0.10", "ports": []interface{}{
		servicePort("dns", 53, "UDP"), servicePort("dns-tcp", 53, "TCP")}}
	seeds["/registry/services/kube-system/kube-dns"] = dns
	config := newObject("v1", "ConfigMap", "kube-system", "coredns")
	config["data"] = object{"Corefile": corefile, "NodeHosts": ""}
	seeds[configMapKey("kube-system", "coredns")] = config
	for key, o := range seeds {
		if err := createIfMissing(ctx, s, key, o); err != nil {
			return err
		}
	}
	return nil
}

func servicePort(name string, port int, protocol string) object {
	return object{"name": name, "port": port, "targetPort": port, "protocol": protocol}
}

func createIfMissing(ctx context.Context, s *store, key string, o object) error {
	return s.update(ctx, key, func(old []byte) ([]byte, error) {
		if old != nil {
			return nil, nil
		}
		return encode(o)
	})
}

// updateNodeHosts writes every node's address into CoreDNS' hosts.
func (n *nodes) updateNodeHosts(ctx context.Context) error {
	return n.store.update(ctx, configMapKey("kube-system", "coredns"), func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, nil
		}
		var o object
		if err := json.Unmarshal(old, &o); err != nil {
			return nil, err
		}
		hosts := n.nodeHosts()
		data := section(o, "data")
		if data["NodeHosts"] == hosts {
			return nil, nil
		}
		data["NodeHosts"] = hosts
		return encode(o)
	})
}

func (n *nodes) nodeHosts() string {
	entries, _ := n.store.list(nodeKey(""))
	var lines []string
	for _, e := range entries {
		o, err := decode(e.value, e.revision)
		if err != nil {
			continue
		}
		address := nodeAddressCell("InternalIP")(o)
		lines = append(lines, fmt.Sprintf("%s %s\n", address, stringField(o, "metadata", "name")))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}
