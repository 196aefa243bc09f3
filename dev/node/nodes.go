package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// registration is what a kubelet says of its node.
type registration struct {
	Name     string   `json:"name"`
	IP       string   `json:"ip"`
	Role     string   `json:"role"`
	Etcd     bool     `json:"etcd"`
	Labels   []string `json:"labels"`
	Taints   []string `json:"taints"`
	Version  string   `json:"version"`
	Kernel   string   `json:"kernel"`
	MemoryKB int64    `json:"memoryKB"`
	CPUs     int      `json:"cpus"`
	Ready    bool     `json:"ready"`

	DiskPressure bool `json:"diskPressure"`
}

// nodes keeps the Node objects: what kubelets, k3s's node controllers and the
// node lifecycle controller do together in a real cluster.
type nodes struct {
	store *store
	grace time.Duration
	mu    sync.Mutex
	seen  map[string]time.Time // last heartbeat, wherever it arrived
	heard map[string]int64     // heartbeats that arrived here
	total int64
	other map[string]int64 // newest counts of the other servers

	addresses   []string // of the servers, as of a revision of the Nodes
	addressesAt int64
	reported    map[string]report
}

// report is what a node was last found to have said, as of its revision: most
// heartbeats say it again, and cost no more than a look here.
type report struct {
	revision int64
	ready    bool
}

func newNodes(s *store, grace time.Duration) *nodes {
	return &nodes{store: s, grace: grace, seen: map[string]time.Time{}, heard: map[string]int64{}, other: map[string]int64{},
		reported: map[string]report{}}
}

// register makes the Node, or updates it after a restart.
func (n *nodes) register(ctx context.Context, reg registration) error {
	n.markSeen(reg.Name)
	cidr, err := n.claimCIDR(ctx, reg.Name)
	if err != nil {
		return err
	}
	err = n.store.update(ctx, nodeKey(reg.Name), func(old []byte) ([]byte, error) {
		o := newObject("v1", "Node", "", reg.Name)
		if old != nil {
			if err := json.Unmarshal(old, &o); err != nil {
				return nil, err
			}
		}
		describeNode(o, reg, cidr)
		return encode(o)
	})
	if err != nil {
		return err
	}
	return n.updateNodeHosts(ctx)
}

func describeNode(o object, reg registration, cidr string) {
	labels := section(o, "metadata", "labels")
	for key, value := range nodeLabels(reg) {
		labels[key] = value
	}
	section(o, "metadata", "annotations")["k3s.io/internal-ip"] = reg.IP
	spec := section(o, "spec")
	spec["podCIDR"], spec["podCIDRs"], spec["providerID"] = cidr, []interface{}{cidr}, "k3s://"+reg.Name
	if len(reg.Taints) > 0 && spec["taints"] == nil {
		spec["taints"] = parseTaints(reg.Taints)
	}
	st := section(o, "status")
	st["addresses"] = []interface{}{
		object{"type": "InternalIP", "address": reg.IP}, object{"type": "Hostname", "address": reg.Name}}
	size := object{"cpu": fmt.Sprint(reg.CPUs), "memory": fmt.Sprintf("%dKi", reg.MemoryKB), "pods": "110", "ephemeral-storage": "100Gi"}
	st["capacity"], st["allocatable"] = size, size
	st["daemonEndpoints"] = object{"kubeletEndpoint": object{"Port": 10250}}
	st["nodeInfo"] = object{"kubeletVersion": reg.Version, "kubeProxyVersion": reg.Version, "osImage": "K3s dev",
		"kernelVersion": reg.Kernel, "operatingSystem": "linux", "architecture": "amd64", "machineID": "", "bootID": "",
		"systemUUID": "", "containerRuntimeVersion": "containerd://1.4.4-k3s2"}
	for _, pressure := range [][2]string{
		{"MemoryPressure", "sufficient memory available"}, {"DiskPressure", "no disk pressure"}, {"PIDPressure", "sufficient PID available"},
	} {
		setCondition(o, pressure[0], "False", "KubeletHasNo"+pressure[0], "kubelet has "+pressure[1])
	}
	if reg.DiskPressure {
		setDiskPressure(o, spec)
	}
	setReady(o, reg.Ready)
}

// setDiskPressure does what kubelet and node controller do when the disk is
// nearly full: the condition, and the taint that keeps pods away.
func setDiskPressure(o, spec object) {
	setCondition(o, "DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure")
	const key = "node.kubernetes.io/disk-pressure"
	taints, _ := spec["taints"].([]interface{})
	for _, taint := range taints {
		if known, ok := taint.(map[string]interface{}); ok && known["key"] == key {
			return
		}
	}
	spec["taints"] = append(taints, object{"key": key, "effect": "NoSchedule"})
}

func nodeLabels(reg registration) object {
	labels := object{
		"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/instance-type": "k3s",
		"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": reg.Name,
		"node.kubernetes.io/instance-type": "k3s",
	}
	if reg.Role == "server" {
		labels["node-role.kubernetes.io/control-plane"] = "true"
		labels["node-role.kubernetes.io/master"] = "true"
	}
	if reg.Etcd {
		labels["node-role.kubernetes.io/etcd"] = "true"
	}
	for key, value := range parseLabels(reg.Labels) {
		labels[key] = value
	}
	return labels
}

// parseTaints reads key=value:Effect items.
func parseTaints(items []string) []interface{} {
	var taints []interface{}
	for _, item := range items {
		rest, effect, _ := strings.Cut(item, ":")
		key, value, _ := strings.Cut(rest, "=")
		taints = append(taints, object{"key": key, "value": value, "effect": effect})
	}
	return taints
}

func setReady(o object, ready bool) bool {
	if ready {
		return setCondition(o, "Ready", "True", "KubeletReady", "kubelet is posting ready status")
	}
	return setCondition(o, "Ready", "False", "KubeletNotReady", "container runtime network not ready: NetworkReady=false "+
		"reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")
}

// heartbeat notes that a node lives; the store is written only when the
// node's condition changes.
func (n *nodes) heartbeat(ctx context.Context, name string, ready bool) error {
	n.markSeen(name)
	e, err := n.store.get(nodeKey(name))
	if err != nil {
		return err
	}
	said := report{e.revision, ready}
	n.mu.Lock()
	repeated := n.reported[name] == said
	n.mu.Unlock()
	if repeated {
		return nil
	}
	err = n.store.update(ctx, nodeKey(name), func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, errNotFound
		}
		var o object
		if err := json.Unmarshal(old, &o); err != nil {
			return nil, err
		}
		if !setReady(o, ready) {
			return nil, nil
		}
		return encode(o)
	})
	if err == nil {
		n.mu.Lock()
		n.reported[name] = said
		n.mu.Unlock()
	}
	return err
}

func (n *nodes) markSeen(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen[name] = time.Now()
	n.heard[name]++
	n.total++
}

// heardSince returns the counts if any changed since the last call.
func (n *nodes) heardSince(total *int64) (map[string]int64, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if *total == n.total {
		return nil, false
	}
	*total = n.total
	counts := make(map[string]int64, len(n.heard))
	for name, count := range n.heard {
		counts[name] = count
	}
	return counts, true
}

// hearFrom takes another server's counts: a node whose count changed lives.
func (n *nodes) hearFrom(server string, counts map[string]int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, count := range counts {
		if n.other[server+"/"+name] != count {
			n.other[server+"/"+name] = count
			n.seen[name] = time.Now()
		}
	}
}

// checkGrace marks the nodes that have been silent too long. Run it where
// this server is the one in charge.
func (n *nodes) checkGrace(ctx context.Context) error {
	entries, _ := n.store.list(nodeKey(""))
	for _, e := range entries {
		name := strings.TrimPrefix(e.key, nodeKey(""))
		if !n.silent(name) {
			continue
		}
		err := n.store.update(ctx, e.key, n.markUnknown)
		if err != nil && !errors.Is(err, errNotFound) {
			return err
		}
	}
	return nil
}

// silent starts the clock for a node it has never heard of: this server may
// just have taken over.
func (n *nodes) silent(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	last, known := n.seen[name]
	if !known {
		n.seen[name] = time.Now()
		return false
	}
	return time.Since(last) > n.grace
}

func (n *nodes) markUnknown(old []byte) ([]byte, error) {
	if old == nil {
		return nil, errNotFound
	}
	var o object
	if err := json.Unmarshal(old, &o); err != nil {
		return nil, err
	}
	// A node that has come back may have said so to another server, which has not
	// told of its heartbeats yet.
	said, err := time.Parse(time.RFC3339, stringField(condition(o, "Ready"), "lastHeartbeatTime"))
	if err == nil && time.Since(said) < n.grace {
		return nil, nil
	}
	changed := false
	for _, kind := range []string{"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"} {
		changed = setCondition(o, kind, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.") || changed
	}
	if !changed {
		return nil, nil
	}
	return encode(o)
}

// forget does what k3s's controllers do once a Node is deleted: its password
// may be replaced, its addresses leave the DNS.
func (n *nodes) forget(ctx context.Context, name string) error {
	owner, _ := json.Marshal(name)
	for _, key := range []string{secretKey("kube-system", passwordSecret(name)), n.cidrOf(owner)} {
		if key == "" {
			continue
		}
		if _, err := n.store.put(ctx, key, nil, anyRevision); err != nil {
			return err
		}
	}
	return n.updateNodeHosts(ctx)
}

// A range of pod addresses is a key that only one node can create: two servers
// may pick the same one at once.
func cidrKey(cidr string) string { return "/standin/cidr/" + cidr }

func (n *nodes) claimCIDR(ctx context.Context, name string) (string, error) {
	owner, _ := json.Marshal(name)
	if key := n.cidrOf(owner); key != "" {
		return strings.TrimPrefix(key, cidrKey("")), nil
	}
	for i := 0; i < 256; i++ {
		cidr := fmt.Sprintf("10.42.%d.0/24", i)
		if _, err := n.store.get(cidrKey(cidr)); err == nil {
			continue
		}
		_, err := n.store.put(ctx, cidrKey(cidr), owner, 0)
		if !errors.Is(err, errConflict) {
			return cidr, err
		}
	}
	return "", errors.New("no range of pod addresses is left")
}

func (n *nodes) cidrOf(owner []byte) string {
	entries, _ := n.store.list(cidrKey(""))
	for _, e := range entries {
		if bytes.Equal(e.value, owner) {
			return e.key
		}
	}
	return ""
}

// serverAddresses are the servers an agent may turn to. Every heartbeat asks,
// so the answer is kept until a Node changes.
func (n *nodes) serverAddresses(port int) []string {
	entries, _ := n.store.list(nodeKey(""))
	n.mu.Lock()
	defer n.mu.Unlock()
	// The sum changes with every change: revisions only grow, and a deleted
	// Node takes a positive one away.
	var revisions int64
	for _, e := range entries {
		revisions += e.revision
	}
	if revisions == n.addressesAt {
		return n.addresses
	}
	n.addresses, n.addressesAt = nil, revisions
	for _, e := range entries {
		o, err := decode(e.value, e.revision)
		if err != nil || stringMap(o, "metadata", "labels")["node-role.kubernetes.io/control-plane"] == "" {
			continue
		}
		if address, ok := nodeAddressCell("InternalIP")(o).(string); ok {
			n.addresses = append(n.addresses, fmt.Sprintf("%s:%d", address, port))
		}
	}
	return n.addresses
}
